"""Drives a running server with the official client. See README.md."""

import argparse
import json
import sys

import httpx
import openai

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["outcome", "level"],
    "properties": {
        "outcome": {"enum": ["NONE", "REVIEW", "BLOCK"]},
        "level": {"type": "integer", "minimum": 0, "maximum": 3},
    },
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "decision", "strict": True, "schema": SCHEMA}}
MESSAGES = [{"role": "user", "content": "Decide: a transfer of 12,000 to an account opened yesterday."}]


def models(client, model):
    listed = [one.id for one in client.models.list()]
    assert model in listed, listed
    assert client.models.retrieve(model).id == model
    try:
        client.models.retrieve("no-such-model")
    except openai.NotFoundError as error:
        assert error.code == "model_not_found", error.code
    else:
        raise AssertionError("an unknown model was found")


def chat(client, model):
    ask = lambda **more: client.chat.completions.create(model=model, messages=MESSAGES, max_tokens=24, **more)
    first, second = ask(seed=3), ask(seed=3)
    assert first.choices[0].message.role == "assistant"
    assert first.choices[0].message.content == second.choices[0].message.content, "the seed is honoured"
    assert first.usage.total_tokens == first.usage.prompt_tokens + first.usage.completion_tokens
    told = ask(n=2, logprobs=True, top_logprobs=3, temperature=0.5)
    assert [choice.index for choice in told.choices] == [0, 1]
    assert all(len(token.top_logprobs) == 3 for token in told.choices[0].logprobs.content)


def streaming(client, model):
    fields = dict(model=model, messages=MESSAGES, max_tokens=24, seed=5, n=2)
    whole = client.chat.completions.create(**fields)
    said, usage = ["", ""], None
    for chunk in client.chat.completions.create(**fields, stream=True, stream_options={"include_usage": True}):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            said[choice.index] += choice.delta.content or ""
    assert said == [choice.message.content for choice in whole.choices]
    assert usage.completion_tokens == whole.usage.completion_tokens


def completions(client, model):
    fields = dict(model=model, prompt=["The outcome is", "The level is"], max_tokens=8, logprobs=2)
    whole = client.completions.create(**fields)
    said = ["", ""]
    for chunk in client.completions.create(**fields, stream=True):
        for choice in chunk.choices:
            said[choice.index] += choice.text
    assert said == [choice.text for choice in whole.choices]
    assert all(len(choice.logprobs.tokens) == 8 or choice.finish_reason == "stop" for choice in whole.choices)


def schemas(client, model):
    for seed in range(8):
        answer = client.chat.completions.create(model=model, messages=MESSAGES, response_format=FORMAT, seed=seed)
        assert answer.choices[0].finish_reason == "stop"
        decision = json.loads(answer.choices[0].message.content)
        assert list(decision) == ["outcome", "level"], decision
        assert decision["outcome"] in SCHEMA["properties"]["outcome"]["enum"], decision
        assert 0 <= decision["level"] <= 3, decision
    choice = {"structured_outputs": {"choice": ["yes", "no"]}}
    answer = client.chat.completions.create(model=model, messages=MESSAGES, extra_body=choice)
    assert answer.choices[0].message.content in ("yes", "no")


def refusals(client, model):
    for fields, param in [({"temperature": 9}, "temperature"), ({"logit_bias": {"1": 5}}, "logit_bias")]:
        try:
            client.chat.completions.create(model=model, messages=MESSAGES, **fields)
        except openai.BadRequestError as error:
            assert error.param == param, (error.param, param)
        else:
            raise AssertionError(f"{fields} was not refused")


def tokens(client, model):
    """vLLM's paths, which the client does not know."""
    base = str(client.base_url).removesuffix("/v1/")
    headers = {"Authorization": f"Bearer {client.api_key}"}
    post = lambda path, body: httpx.post(base + path, json=body, headers=headers).raise_for_status().json()
    text = "amount 12,000 é"
    told = post("/tokenize", {"model": model, "prompt": text, "add_special_tokens": False})
    assert told["count"] == len(told["tokens"])
    assert post("/detokenize", {"model": model, "tokens": told["tokens"]})["prompt"] == text


# Files and batches go here, as parts of the same kind.
PARTS = [models, chat, streaming, completions, schemas, refusals, tokens]


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("url", help="where the server listens, without /v1")
    arguments.add_argument("--key", default="none", help="the server's key, if it asks for one")
    arguments.add_argument("--model", help="a model or an adapter; the first that is listed if left out")
    given = arguments.parse_args()
    client = openai.OpenAI(base_url=given.url.rstrip("/") + "/v1", api_key=given.key, max_retries=0)
    model = given.model or next(iter(client.models.list())).id
    failed = 0
    for part in PARTS:
        try:
            part(client, model)
            print(f"{part.__name__}: passed")
        except Exception as error:
            failed += 1
            print(f"{part.__name__}: failed: {type(error).__name__}: {error}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
