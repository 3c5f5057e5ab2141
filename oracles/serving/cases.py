"""The prompts and answers that `probity bench generate --write-answers` writes, and the grammar that answers are held to."""
import json

import llguidance
import llguidance.hf
from transformers import AutoTokenizer


class Cases:
    """tokens: prompts as lists of token numbers; answers: what Probity answered."""

    def __init__(self, path, limit):
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
        self.most, self.end = content["most"], content["end"]
        self.schema = content["schema"] | {"x-guidance": {"whitespace_flexible": False}}
        self.list = content["cases"][:limit]
        self.tokens = [case["tokens"] for case in self.list]


class Grammar:
    """Hands out matchers that follow one answer each; the schema is compiled once."""

    def __init__(self, folder, cases, vocabulary):
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.vocabulary = vocabulary
        bytes_of = llguidance.hf.from_tokenizer(self.tokenizer, n_vocab=vocabulary, eos_token=cases.end[0])
        grammar = llguidance.LLMatcher.grammar_from_json_schema(cases.schema)
        self.start = llguidance.LLMatcher(bytes_of, grammar)
        if self.start.is_error():
            raise SystemExit(self.start.get_error())

    def matcher(self):
        return self.start.deep_copy()

    def text(self, tokens):
        return self.tokenizer.decode(tokens, skip_special_tokens=True)


def decision(text):
    """Outcome, level and reasons in any order; none if the answer is no JSON."""
    try:
        answer = json.loads(text)
        return answer["aml_decision"], answer["escalation_level"], tuple(sorted(set(answer["reasons"])))
    except (ValueError, KeyError, TypeError):
        return None


def agreement(cases, texts):
    """Shares of answers that are the same text, and the same decision, as Probity's; and of those that are JSON."""
    count = len(texts)
    ours = [case["answer"] for case in cases.list]
    theirs = [decision(text) for text in texts]
    right = [(case["truth"]["outcome"], tuple(sorted(set(case["truth"]["reasons"])))) for case in cases.list]
    return {
        "equal_texts": sum(a == b for a, b in zip(ours, texts)) / count,
        "equal_decisions": sum(decision(a) == b for a, b in zip(ours, theirs)) / count,
        "json_validity": sum(answer is not None for answer in theirs) / count,
        "accuracy": sum(b is not None and b[0] == t[0] for b, t in zip(theirs, right)) / count,
        "exact_match": sum(b is not None and (b[0], b[2]) == t for b, t in zip(theirs, right)) / count,
    }
