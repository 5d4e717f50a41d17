#!/usr/bin/env python3
"""Writes what transformers makes of chat templates, one case on a line, for chat_test to compare with.

    tools/make_chat_cases.py > tests/data/chat_cases.jsonl     the repository's own templates (tools/chat_constructs.py)
    tools/make_chat_cases.py FOLDER > /tmp/cases.jsonl         every *.jinja of a folder, each with the conversations below
    ASSAY_CHAT_CASES=/tmp/cases.jsonl build/chat_test --gtest_filter='ChatCases.*'

A case: {"name", "template", "variables", "text"}, or with "error" (what Jinja2 said) or "refusal" (the template's own
raise_exception) instead of the text; without variables: those of the case before. Needs transformers (5.24 made the
committed file), and with it Jinja2 3.1.6.
"""

import copy
import datetime
import json
import pathlib
import sys

import jinja2
from transformers.utils import chat_template_utils as hf

NOW = datetime.datetime(2026, 11, 28, 1, 2, 3)


class FixedTime(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


hf.datetime = FixedTime

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather of a place.\nIn \"degrees\" & more <now>.",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "Where, e.g. Zürich"},
                    "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
                    "days": {"type": "integer", "minimum": 1},
                    "hours": {"type": "array", "items": {"type": "number"}},
                    "options": {
                        "type": "object",
                        "properties": {"wind": {"type": "boolean"}, "note": {"type": ["string", "null"]}},
                        "required": ["wind"],
                    },
                },
                "required": ["city"],
            },
            "return": {"type": "string"},
        },
    },
    {"type": "function", "function": {"name": "now", "description": "", "parameters": {"type": "object", "properties": {}}}},
]


def call(name, arguments, call_id="call00001"):
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def conversations():
    user = {"role": "user", "content": "Why is the sky blue?"}
    system = {"role": "system", "content": "You are terse.\n"}
    answer = {"role": "assistant", "content": "Rayleigh scattering."}
    weather = {"role": "user", "content": "Weather in Zürich?"}
    arguments = {"city": "Zürich", "days": 2, "hours": [6.5, 12.0], "options": {"wind": True, "note": None}}
    result = {"role": "tool", "name": "get_weather", "tool_call_id": "call00001", "content": '{"temperature": 21.5}'}
    thought = {"role": "assistant", "content": "4", "reasoning_content": "Two and two.\n\nMakes four."}
    yield "plain", {"messages": [user]}
    yield "system", {"messages": [system, user]}
    yield "turns", {"messages": [system, user, answer, {"role": "user", "content": "And at dusk?"}]}
    yield "ends with the answer", {"messages": [user, answer]}
    yield "tools", {"messages": [system, weather], "tools": TOOLS}
    yield "tools without system", {"messages": [weather], "tools": TOOLS}
    calls = {"role": "assistant", "content": "", "tool_calls": [call("get_weather", arguments)]}
    yield "tool call", {"messages": [weather, calls, result], "tools": TOOLS}
    yield "tool call answered", {
        "messages": [system, weather, calls, result, {"role": "assistant", "content": "21.5 degrees."}, user],
        "tools": TOOLS,
    }
    both = [call("get_weather", arguments), call("now", {}, "call00002")]
    second = {"role": "tool", "name": "now", "tool_call_id": "call00002", "content": "12:00"}
    yield "two calls with words", {
        "messages": [weather, {"role": "assistant", "content": "I look.", "tool_calls": both}, result, second],
        "tools": TOOLS,
    }
    text_arguments = [call("get_weather", json.dumps(arguments))]
    yield "arguments as text", {
        "messages": [weather, {"role": "assistant", "content": None, "tool_calls": text_arguments}, result],
        "tools": TOOLS,
    }
    yield "thinking", {"messages": [{"role": "user", "content": "2+2?"}, thought, {"role": "user", "content": "Sure?"}]}
    inline = {"role": "assistant", "content": "<think>\nhm\n</think>\n\n4"}
    yield "thinking in the text", {"messages": [{"role": "user", "content": "2+2?"}, inline, user]}
    yield "thinking off", {"messages": [system, user], "enable_thinking": False, "thinking": False}
    yield "thinking on", {"messages": [system, user], "enable_thinking": True, "thinking": True}
    yield "thinking and a call", {
        "messages": [weather, {**calls, "reasoning_content": "I need the tool."}, result],
        "tools": TOOLS,
        "enable_thinking": True,
    }
    yield "empty", {"messages": [{"role": "system", "content": ""}, {"role": "user", "content": ""}]}
    yield "unicode", {
        "messages": [
            {"role": "system", "content": " \u00a0Déjà vu\u2028"},
            {"role": "user", "content": "  ὈΔΥΣΣΕΎΣ 漢字 👩🏽‍🚀 <|im_end|>\t'\"\\ &<> \n"},
        ]
    }
    yield "parts", {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "One"}, {"type": "text", "text": " two"}]}]
    }
    yield "image", {"messages": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What?"}]}]}
    yield "documents", {"messages": [user], "documents": [{"title": "Sky", "text": "It is blue.", "doc_id": 1}]}
    yield "developer", {"messages": [{"role": "developer", "content": "Be kind."}, user]}
    yield "two users", {"messages": [user, user]}
    yield "nobody", {"messages": []}


TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}


def folder_cases(folder):
    for file in sorted(pathlib.Path(folder).glob("*.jinja")):
        template = file.read_bytes().decode("utf-8")
        for name, variables in conversations():
            for add in (False, True):
                variables = copy.deepcopy(variables)
                messages = hf._plain_template_data(hf._normalize_chat_messages(variables["messages"]))
                variables["messages"] = hf._alias_reasoning_fields(messages)
                variables = {"tools": None, "documents": None, **variables, "add_generation_prompt": add, **TOKENS}
                yield f"{file.stem}: {name}{', prompt' if add else ''}", template, variables


def render(template, variables):
    try:
        compiled = hf._compile_jinja_template(template)
        return {"text": compiled.render(**copy.deepcopy(variables))}
    except jinja2.exceptions.TemplateError as error:
        # raise_exception raises the base class itself.
        return {"refusal" if type(error) is jinja2.exceptions.TemplateError else "error": str(error)}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def main():
    if len(sys.argv) > 1:
        cases = folder_cases(sys.argv[1])
    else:
        import chat_constructs

        cases = chat_constructs.cases()
    before = None
    for name, template, variables in cases:
        given = {} if variables is before else {"variables": variables}
        before = variables
        print(json.dumps({"name": name, "template": template, **given, **render(template, variables)}, ensure_ascii=False))


if __name__ == "__main__":
    main()
