#!/usr/bin/env python3
"""tokenizer.py PROBITY [TEMPLATES] : tokenizers that the product trains, read by transformers.

For plain ones and ones with single digits: AutoTokenizer loads the folder; both sides give the same tokens for odd strings and for
every code point between letters, spaces and digits, and the same text back; the trainer of `tokenizers` learns the same merges. With
TEMPLATES, a folder of *.jinja: both sides make the same text of conversations, on the same day. Prints one line per check, `DIFF` where
it fails; exit status 1 if any failed.
"""
import datetime
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from tokenizers import Tokenizer, pre_tokenizers, trainers
from tokenizers.models import BPE
from transformers import AutoTokenizer

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
WHOLE = ['"aml_decision":', '"channel":', "{"]
VOCABULARY = 1500
ODD = [
    "plain words, and more", " leading", "trailing \t ", "it's we'll I'VE", "1234567890 12.5e-3 ½ ١٢٣ ₂", "👩‍👩‍👧 🇨🇿🏳️‍🌈", "a\u0301\u0302 \u00e1",
    '{"aml_decision": "review", "amount":-12.50,"channel":null}', '{"aml_decision":{{"channel":"aml_decision":', "\u0000\u0001\u001f\u007f\u0085\u00a0\u2028\u2029\ufeff",
    "\u202eright to left\u202c العربية עברית", "北京市朝阳区 ｆｕｌｌ ﬀ", "<|im_start|>user<|im_end|><|im_end", "x" * 5000, "x" + " " * 3000 + "y", "\uffff\U0010ffff",
]
CONVERSATIONS = [
    [("user", "One?"), ("assistant", "Two."), ("user", " Three? "), ("assistant", " Four. ")],
    [("system", " Be brief.\n"), ("user", "<é> & \"quoted\""), ("assistant", "{\"decision\": \"clear\"}")],
    [("user", "Why?"), ("assistant", "<think>\nHm.\n</think>\n\nSo.")],
]
failed = []


def check(good, what, detail=""):
    if not good:
        failed.append(what)
    print(f"{'ok  ' if good else 'DIFF'} {what} {detail}".rstrip(), flush=True)


def probity(program, *arguments, lines=()):
    done = subprocess.run([program, "lm", "tokenizer", *map(str, arguments)], input="".join(line + "\n" for line in lines).encode(), capture_output=True)
    if done.returncode:
        print(done.stderr.decode(), file=sys.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


def corpus():
    draw = random.Random(7)
    words = "wire cash card transfer review clear sanctions přepážka Überweisung платёж 支付 naïve customer's account".split()
    for _ in range(3000):
        text = " ".join(draw.choices(words, k=draw.randint(2, 9)))
        yield json.dumps({"aml_decision": draw.choice(["clear", "review"]), "amount": draw.randint(1, 10**6), "channel": text}, ensure_ascii=False)


def code_points():
    """Lines with every character that can stand in one."""
    every = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000 and chr(code) not in "\r\n"]
    for start in range(0, len(every), 64):
        yield "".join(f"a{character}b {character}{character} 1{character}" for character in every[start : start + 64]) + "."


def learned_by_tokenizers(texts, digits):
    """Merges as the trainer of `tokenizers` finds them."""
    theirs = Tokenizer(BPE())
    theirs.add_special_tokens(SPECIAL)
    theirs.add_tokens(WHOLE)
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False)
    theirs.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), bytes_]) if digits else bytes_
    size = VOCABULARY - len([token for token in WHOLE if len(token) > 1])
    trainer = trainers.BpeTrainer(vocab_size=size, min_frequency=2, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    # That trainer does not cut out whole strings, so they are taken out before.
    parts = [part for text in texts for part in split(text, WHOLE)]
    theirs.train_from_iterator(parts, trainer)
    return json.loads(theirs.to_str())["model"]["merges"]


def split(text, tokens):
    for token in tokens:
        if token in text:
            return [piece for part in text.split(token) for piece in split(part, tokens)]
    return [text] if text else []


def tokenizers(program, folder):
    texts = list(corpus())
    (folder / "corpus.txt").write_text("\n".join(texts))
    for name, options in (("plain", []), ("digits", ["--digits"])):
        whole = [option for token in WHOLE for option in ("--whole", token)]
        answer = probity(program, "train", folder / "corpus.txt", "--vocabulary", VOCABULARY, *whole, *options, "--out", folder / name)
        size = answer[0]["vocabulary"] if answer else 0
        check(1000 < size <= VOCABULARY if name == "plain" else 350 < size < VOCABULARY, f"{name}: trained", f"{size} tokens")
        theirs = AutoTokenizer.from_pretrained(folder / name)
        check(theirs.eos_token == "<|im_end|>" and theirs.pad_token == "<|endoftext|>" and len(theirs) == size, f"{name}: loaded", type(theirs).__name__)
        merges = [list(merge) for merge in json.loads((folder / name / "tokenizer.json").read_text())["model"]["merges"]]
        check(merges == learned_by_tokenizers(texts, bool(options)), f"{name}: merges", f"{len(merges)}")
        for what, lines in (("odd strings", ODD), ("code points", list(code_points())), ("corpus", texts)):
            ours = probity(program, "encode", folder / name, lines=lines)
            expected = [theirs.encode(line, add_special_tokens=False) for line in lines]
            different = [line for line, one, other in zip(lines, ours, expected) if one != other]
            check(len(ours) == len(lines) and not different, f"{name}: {what}", ascii(different[0])[:200] if different else f"{sum(map(len, ours))} tokens")
            back = probity(program, "decode", folder / name, lines=map(json.dumps, ours))
            check(back == lines == [theirs.decode(tokens, skip_special_tokens=False) for tokens in ours], f"{name}: {what}, back")


def templates(program, folder, sources):
    today = datetime.date.today().isoformat()
    for source in sorted(sources.glob("*.jinja")):
        (folder / "plain" / "chat_template.jinja").write_text(source.read_text())
        theirs = AutoTokenizer.from_pretrained(folder / "plain")
        for number, turns in enumerate(CONVERSATIONS):
            messages = [{"role": role, "content": content} for role, content in turns]
            for what, options, given in (("whole", ["--last"], messages), ("prompt", ["--prompt"], messages[:-1])):
                answer = probity(program, "render", folder / "plain", "--date", today, *options, lines=[json.dumps({"messages": given})])
                expected = theirs.apply_chat_template(given, tokenize=False, add_generation_prompt=what == "prompt")
                ours = answer[0] if answer else {"error": "no answer"}
                check(ours.get("text") == expected, f"{source.stem} {number}: {what}", ours.get("error", ""))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        tokenizers(sys.argv[1], Path(folder))
        if len(sys.argv) > 2:
            templates(sys.argv[1], Path(folder), Path(sys.argv[2]))
    sys.exit(bool(failed))
