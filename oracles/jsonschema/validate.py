"""Validates answers that lm made under a schema with another validator.

    validate.py ANSWERS [SCHEMAS]

ANSWERS has lines {"schema": NAME, "answer": TEXT} and a last one {"given_up": COUNT}; SCHEMAS is an object of schemas by
name. Prints how many answers of each schema are valid and ends with 1 if one is not.
"""

import json
import sys
from collections import Counter
from pathlib import Path

from jsonschema import Draft202012Validator

SCHEMAS = Path(__file__).parents[2] / "crates/lm/tests/fixtures/constraint/schemas.json"


def unique(pairs):
    """An object, whose keys must differ."""
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise ValueError(f"a key stands twice: {keys}")
    return dict(pairs)


def main(answers, schemas=SCHEMAS):
    schemas = json.loads(Path(schemas).read_text())
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    checker = Draft202012Validator.FORMAT_CHECKER
    validators = {name: Draft202012Validator(schema, format_checker=checker) for name, schema in schemas.items()}
    valid, invalid, twice, given_up = Counter(), Counter(), Counter(), 0
    for line in Path(answers).open():
        line = json.loads(line)
        if "given_up" in line:
            given_up = line["given_up"]
            continue
        name = line["schema"]
        try:
            value = json.loads(line["answer"])
            validators[name].validate(value)
            valid[name] += 1
        except Exception as error:
            invalid[name] += 1
            if invalid[name] <= 3:
                print(f"{name}: {line['answer']!r}: {str(error).splitlines()[0]}")
            continue
        try:
            json.loads(line["answer"], object_pairs_hook=unique)
        except ValueError:
            twice[name] += 1
    for name in schemas:
        print(f"{name}: {valid[name]} valid, {invalid[name]} not, {twice[name]} with a key twice")
    print(f"{valid.total()} valid, {invalid.total()} not, {given_up} without a bound were given up")
    return int(invalid.total() > 0 or valid.total() == 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
