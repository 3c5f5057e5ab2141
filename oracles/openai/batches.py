"""Drives files and batches of a running server with the official client, unmodified.

    pip install openai
    python batches.py http://127.0.0.1:8000/v1 [MODEL]

Without a model, files alone. Prints one JSON object; any difference from what OpenAI documents is an AssertionError.
"""

import json
import sys
import time

import openai


def line(custom_id, model, **body):
    body = {"model": model, "messages": [{"role": "user", "content": "Say one word."}], "max_tokens": 8} | body
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body})


def files(client):
    content = b'{"a": "\xc3\xa4"}\n' * 200_000
    file = client.files.create(file=("lines.jsonl", content), purpose="batch")
    assert (file.object, file.bytes, file.filename, file.purpose) == ("file", len(content), "lines.jsonl", "batch")
    assert client.files.retrieve(file.id) == file
    assert client.files.content(file.id).read() == content
    others = [client.files.create(file=(f"{n}.jsonl", b"{}\n"), purpose="batch") for n in range(5)]
    listed = [item.id for item in client.files.list(limit=2)]  # the client asks for the next pages itself
    assert listed[:6] == [other.id for other in reversed(others)] + [file.id], listed
    for item in [file, *others]:
        deleted = client.files.delete(item.id)
        assert deleted.deleted and deleted.id == item.id
    for wrong in [lambda: client.files.retrieve(file.id), lambda: client.files.content(file.id)]:
        try:
            wrong()
            raise AssertionError("a file that was deleted is still there")
        except openai.NotFoundError as error:
            assert error.body["message"], error
    try:
        client.files.create(file=("x", b"x"), purpose="vision")
        raise AssertionError("any purpose is taken")
    except openai.BadRequestError:
        pass
    return {"files": "ok"}


def wait(client, batch):
    while batch.status not in ("completed", "failed", "cancelled", "expired"):
        time.sleep(0.1)
        batch = client.batches.retrieve(batch.id)
    return batch


def texts(client, file_id):
    return [json.loads(text) for text in client.files.content(file_id).text.splitlines()] if file_id else []


def batches(client, model, count):
    good = [line(f"r{n}", model) for n in range(count)]
    bad = ['{"custom_id": "torn', line("r0", model), line("stream", model, stream=True), line("empty", model, messages=[])]
    content = "\n".join(good[: count // 2] + bad + good[count // 2 :]).encode()
    file = client.files.create(file=("in.jsonl", content), purpose="batch")
    begun = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"night": "1"}
    )
    assert begun.object == "batch" and begun.metadata == {"night": "1"} and begun.input_file_id == file.id
    start = time.time()
    done = wait(client, begun)
    seconds = time.time() - start
    assert done.status == "completed", done
    counts = done.request_counts
    assert (counts.total, counts.completed, counts.failed) == (count + 4, count, 4), counts
    output, errors = texts(client, done.output_file_id), texts(client, done.error_file_id)
    assert [item["custom_id"] for item in output] == [f"r{n}" for n in range(count)]
    for item in output:
        assert item["error"] is None and item["response"]["status_code"] == 200
        openai.types.chat.ChatCompletion.model_validate(item["response"]["body"])
    assert [item["custom_id"] for item in errors] == [None, "r0", "stream", "empty"]
    codes = [item["error"] and item["error"]["code"] for item in errors]
    assert codes == ["invalid_json_line", "duplicate_custom_id", "invalid_request", None], codes
    assert errors[3]["response"]["status_code"] == 400
    assert done.id in [batch.id for batch in client.batches.list(limit=1)]
    cancelled = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    try:
        client.batches.cancel(cancelled.id)
        assert wait(client, cancelled).status == "cancelled"
    except openai.ConflictError:
        assert client.batches.retrieve(cancelled.id).status == "completed"
    return {"batches": "ok", "requests": count, "requests_per_second": round(count / seconds, 1)}


def main(url, model=None, count="200"):
    client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
    result = {"client": openai.__version__} | files(client)
    if model:
        result |= batches(client, model, int(count))
    print(json.dumps(result))


main(*sys.argv[1:])
