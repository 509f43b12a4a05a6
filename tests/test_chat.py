"""Chat templates: the text that `transformers` makes of them, and templates that would never end."""

import json
import shutil

import pytest

from codesign import api
from codesign.errors import CodesignError
from codesign.plugins.manager import plugins
from codesign.tokenizer import Chat, TokenizerError
from codesign.tokenizer.chat import ChatTemplate, chat_template_of, special_tokens, template_of_folder

EMBEDDED = plugins().models()["embedded"]
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
QUESTION = [{"role": "user", "content": '  What is 2 < 3 & "why"? naïve\n'}]
TALK = [{"role": "system", "content": "Be brief."}, *QUESTION, {"role": "assistant", "content": "Yes."}, *QUESTION]

CHAT_ML = """\
{% for message in messages %}{% if loop.first and message['role'] != 'system' %}{{ '<|im_start|>system
You help.<|im_end|>
' }}{% endif %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}
"""
INSTRUCT = """\
{{ bos_token }}
{%- set ns = namespace(system='') %}
{%- for message in messages %}
    {%- if message.role == 'system' %}
        {%- set ns.system = message.content | trim + '\n\n' %}
        {%- continue %}
    {%- endif %}
    {%- if message.role not in ['user', 'assistant'] %}
        {{- raise_exception('unknown role ' ~ message.role) }}
    {%- endif %}
    {%- if message.role == 'user' %}
        {{- ' [INST] ' ~ ns.system ~ message.content.strip() ~ ' [/INST]' }}
    {%- else %}
        {% generation %}{{ message.content ~ eos_token }}{% endgeneration %}
    {%- endif %}
{%- endfor %}
"""
JSON = """\
{%- macro one(message) %}
{{ {'role': message.role, 'content': message.content} | tojson }}
{%- endmacro %}
{%- if tools is not none %}{{ tools | tojson(indent=2) }}{% endif %}
{{- bos_token }}
    {%- for message in messages %}
        {{ one(message) }}
        {% if loop.index0 > 2 %}
            {% break %}
        {% endif %}
    {% endfor %}
"""
TEMPLATES = {"chat-ml": CHAT_ML, "instruct": INSTRUCT, "json": JSON}


def test_a_conversation_is_rendered() -> None:
    text = ChatTemplate(INSTRUCT, TOKENS).render(TALK)
    question = 'What is 2 < 3 & "why"? naïve'
    assert text == f"<s> [INST] Be brief.\n\n{question} [/INST]Yes.</s> [INST] Be brief.\n\n{question} [/INST]"
    assert ChatTemplate("{{ strftime_now('%%') }}", {}).render(QUESTION) == "%"


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{{ raise_exception('no ' ~ messages[0].role) }}", "the chat template: no user"),
        ("{% for %}", "Expected"),
        ("{{ messages[7].content }}", "has no element 7"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ messages.append(1) }}", "not callable|unsafe|not safely callable"),
        ("{% for a in range(9999999) %}{% endfor %}", "Range too big"),
        ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "more than 3 s of CPU"),
        ("{{ 'a' * 9999999999 }}", "it takes more than 1024 MiB"),
        ("{% set ns = namespace(s='aa') %}{% for a in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}", "MiB"),
        ("{{ 'a' * 2000000 }}", "it makes more than 1048576 characters"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "RecursionError"),
        ("a" * 2_000_000, "a chat template of 2000000 characters"),
    ],
)
def test_templates_that_are_broken_or_hostile_are_refused(template, problem) -> None:
    with pytest.raises(TokenizerError, match=problem):
        ChatTemplate(template, {}).render(QUESTION)


def test_where_a_folder_keeps_its_template(tmp_path) -> None:
    assert template_of_folder(tmp_path) is None
    config = tmp_path / "tokenizer_config.json"
    config.write_text(json.dumps({"chat_template": "A", "bos_token": {"content": "<s>"}, "eos_token": "</s>"}))
    assert (template_of_folder(tmp_path), special_tokens(tmp_path)) == ("A", TOKENS)
    named = [{"name": "tool_use", "template": "B"}, {"name": "default", "template": "C"}]
    config.write_text(json.dumps({"chat_template": named}))
    assert template_of_folder(tmp_path) == "C"
    (tmp_path / "chat_template.jinja").write_text("D")
    assert template_of_folder(tmp_path) == "D"
    config.write_text("{")
    with pytest.raises(TokenizerError, match=r"tokenizer_config\.json: cannot be read"):
        special_tokens(tmp_path)


def test_a_question_becomes_the_ids_that_the_template_writes(tmp_path) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(EMBEDDED, folder)
    (folder / "chat_template.jinja").write_text("Q: {{ messages[0].content }}\n")
    program = api.load_model(folder)
    assert api.encode(program, Chat(QUESTION[:1])) == api.tokenizer_of(program).encode(
        f"Q: {QUESTION[0]['content']}", bare=True
    )
    answer = api.run(program, Chat(QUESTION[:1]), max_tokens=5)
    assert answer.text == api.tokenizer_of(program).decode(answer.tokens)


def test_a_model_without_a_template_says_so(tmp_path) -> None:
    with pytest.raises(CodesignError, match="holds no chat template"):
        chat_template_of(api.load_model(EMBEDDED))


def test_a_gguf_file_names_its_tokens(tmp_path) -> None:
    program = api.load_model(EMBEDDED)
    api.export(program, tmp_path / "model.gguf")
    with pytest.raises(CodesignError, match="holds no chat template"):
        chat_template_of(api.load_model(tmp_path / "model.gguf"))


@pytest.mark.nightly
@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("messages", [QUESTION, TALK], ids=["question", "talk"])
def test_the_text_is_that_of_transformers(template, messages) -> None:
    from transformers.utils.chat_template_utils import render_jinja_template

    (theirs,), _ = render_jinja_template(
        [messages], chat_template=TEMPLATES[template], add_generation_prompt=True, **TOKENS
    )
    assert ChatTemplate(TEMPLATES[template], TOKENS).render(messages) == theirs
