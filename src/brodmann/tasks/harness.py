"""Tasks written for lm-evaluation-harness, read from local files without it.

The documented YAML of its version 0.4 in the part that needs no Python: local json, jsonl and csv data, Jinja
templates, multiple choice and exact match of written text (Gao et al., lm-evaluation-harness, docs/task_guide.md). What
is not covered (data of a hub, ``!function``, other metrics and filters) is refused by name: nothing is scored by half.
The examples of a few-shot prompt are the first documents of their split, where the harness draws them at random.
"""

import ast
import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import SandboxedEnvironment

from brodmann.errors import PromptError
from brodmann.tasks.asking import Quiz
from brodmann.tasks.item import Item

_JINJA = SandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
_UNSUPPORTED = ("process_docs", "process_results", "use_prompt", "gen_prefix", "doc_to_image", "doc_to_audio", "group",
                "custom_dataset", "unsafe_code")  # fmt: skip
_METRICS = {"multiple_choice": {"acc", "acc_norm"}, "generate_until": {"exact_match"}}


class _Loader(yaml.SafeLoader):
    """Reads plain YAML; a ``!function`` would run code."""


def _refuse_function(loader: yaml.SafeLoader, node: yaml.Node) -> Any:  # noqa: ARG001 (the caller's signature)
    raise PromptError(f"!function {node.value}: tasks that need Python code are not read; write it as a template")


_Loader.add_constructor("!function", _refuse_function)


def read_harness(path: str | Path, limit: int | None = None) -> Quiz:
    """Read a task of lm-evaluation-harness from its YAML file and the local data that it names.

    Parameters
    ----------
    path
        YAML with ``dataset_path: json`` (or csv), ``dataset_kwargs: {data_files: ...}`` (paths from the YAML's folder),
        ``doc_to_text``, ``doc_to_target``, for multiple choice ``doc_to_choice``, and perhaps ``num_fewshot``.
    limit
        Ask only the first so many documents.

    Returns
    -------
    Quiz
        ``choose`` for ``output_type: multiple_choice`` (by likelihood per character where ``acc_norm`` is the only
        metric), written answers by exact match for ``generate_until``.

    Raises
    ------
    PromptError
        With the file and what is wrong or not covered.
    """
    file = Path(path)
    try:
        config = _config(file)
        return _quiz(config, file, limit)
    except PromptError as error:
        raise PromptError(f"task {path}: {str(error).removeprefix(f'task {path}: ')}") from None
    except OSError as error:
        raise PromptError(f"task {path}: {error.filename} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, TemplateError, ValueError, SyntaxError, KeyError, TypeError) as error:
        raise PromptError(f"task {path}: {' '.join(str(error).split())}") from None


def _config(file: Path, depth: int = 0) -> dict[str, Any]:
    loaded = yaml.load(file.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 (a safe loader)
    if not isinstance(loaded, dict):
        raise PromptError("not a mapping of settings")
    base = loaded.pop("include", None)
    if base is None:
        return loaded
    if depth > 8:
        raise PromptError("its includes go round in a circle")
    return _config(file.parent / str(base), depth + 1) | loaded


def _quiz(config: dict[str, Any], file: Path, limit: int | None) -> Quiz:
    found = next((name for name in _UNSUPPORTED if config.get(name)), None)
    if found is not None:
        raise PromptError(f"'{found}' is not covered")
    kind = str(config.get("output_type", "generate_until"))
    if kind not in _METRICS:
        raise PromptError(f"output_type '{kind}' is not covered; {' and '.join(_METRICS)} are")
    metrics = {str(each["metric"]): each for each in config.get("metric_list") or ()}
    strange = sorted(set(metrics) - _METRICS[kind])
    if strange:
        raise PromptError(f"metric '{strange[0]}' is not covered; of {kind}, {', '.join(sorted(_METRICS[kind]))} are")
    splits = _splits(config, file)
    asked_split = config.get("test_split") or config.get("validation_split") or next(iter(splits))
    shots = int(config.get("num_fewshot") or 0)
    shown_split = config.get("fewshot_split") or config.get("training_split") or asked_split
    for split in (asked_split, shown_split):
        if split not in splits:
            raise PromptError(f"data_files has no split '{split}'; it has {', '.join(splits)}")
    asked, shown = splits[asked_split], splits[shown_split][:shots]
    if shown_split == asked_split:
        asked = asked[shots:]
    if not asked or len(shown) < shots:
        raise PromptError(f"{len(splits[shown_split])} documents are too few for {shots} examples and a question")
    asked = asked[:limit]
    examples = [_item(config, document) for document in shown]
    items = [_item(config, document) for document in asked]
    between = str(config.get("fewshot_delimiter", "\n\n"))
    prompts = []
    for document, item in zip(asked, items, strict=True):
        start = _render(str(config.get("description") or ""), document)
        prompts.append(start + between.join([*(each.solved for each in examples), item.prompt]))
    return Quiz(
        str(config.get("task", file.stem)), tuple(replace(i, prompt=p) for i, p in zip(items, prompts, strict=True)),
        choose=kind == "multiple_choice", per_character=set(metrics) == {"acc_norm"},
        stop=_stops(config, between), pattern=_pattern(config), ignore=_ignored(metrics.get("exact_match", {})),
    )  # fmt: skip


def _splits(config: dict[str, Any], file: Path) -> dict[str, list[dict[str, Any]]]:
    reader = str(config.get("dataset_path", ""))
    files = (config.get("dataset_kwargs") or {}).get("data_files")
    if reader not in ("json", "csv") or not files:
        raise PromptError(
            "only local data is read: dataset_path must be json or csv and dataset_kwargs must name data_files"
        )
    files = files if isinstance(files, dict) else {"train": files}
    return {
        str(split): [document for name in ([names] if isinstance(names, str) else names)
                     for document in _documents(file.parent / str(name), reader)]
        for split, names in files.items()
    }  # fmt: skip


def _documents(file: Path, reader: str) -> list[dict[str, Any]]:
    text = file.read_text(encoding="utf-8")
    if reader == "csv":
        return [dict(row) for row in csv.DictReader(text.splitlines())]
    if text.lstrip().startswith("["):
        return list(json.loads(text))
    # split("\n"), not splitlines(): U+2028 may stand inside a JSON string
    return [json.loads(line) for line in text.split("\n") if line.strip()]


def _render(template: Any, document: dict[str, Any]) -> str:
    if isinstance(template, str) and template in document:
        return str(document[template])
    return _JINJA.from_string(str(template)).render(**document)


def _item(config: dict[str, Any], document: dict[str, Any]) -> Item:
    prompt = _render(config["doc_to_text"], document)
    joint = str(config.get("target_delimiter", " "))
    name = str(config.get("task", ""))
    wanted = config["doc_to_target"]
    target: Any = wanted
    if isinstance(wanted, str) and wanted in document:
        target = document[wanted]
    elif isinstance(wanted, str):
        # what a template gives is a place where it is all digits; what stands in a column says so by its type
        rendered = _render(wanted, document)
        target = int(rendered) if rendered.isdigit() and config.get("doc_to_choice") is not None else rendered
    if config.get("output_type", "generate_until") != "multiple_choice":
        answers = [str(each) for each in target] if isinstance(target, list) else [str(target)]
        return Item(name, prompt, answers[0], 1, "text", accepted=tuple(answers[1:]), joint=joint)
    choices = tuple(_choices(config["doc_to_choice"], document))
    if prompt.strip().isdigit():
        raise PromptError("questions whose choices stand in the prompt (doc_to_text gives a number) are not covered")
    place = target if isinstance(target, int) else choices.index(str(target))
    if not 0 <= place < len(choices):
        raise PromptError(f"doc_to_target gives {place}, but there are {len(choices)} choices")
    if len(set(choices)) < len(choices):
        raise PromptError(f"two choices are alike: {', '.join(choices)}")
    return Item(name, prompt, choices[place], 1, "text", choices, joint=joint)


def _choices(template: Any, document: dict[str, Any]) -> list[str]:
    if isinstance(template, dict):
        return [str(each) for each in template.values()]
    if isinstance(template, str):
        template = document[template] if template in document else ast.literal_eval(_render(template, document))
    return [str(each) for each in template]


def _stops(config: dict[str, Any], between: str) -> tuple[str, ...]:
    given = (config.get("generation_kwargs") or {}).get("until", [between])
    return (given,) if isinstance(given, str) else tuple(str(each) for each in given)


def _pattern(config: dict[str, Any]) -> str:
    """The regular expression of the only filter pipeline that is covered: perhaps a regex, then the first."""
    pipelines = config.get("filter_list") or []
    if not pipelines:
        return ""
    steps = pipelines[0].get("filter", [])
    known = [step for step in steps if step.get("function") == "regex"]
    if len(pipelines) > 1 or len(known) > 1 or any(s.get("function") not in ("regex", "take_first") for s in steps):
        raise PromptError("filter_list: only one pipeline of a regex and take_first is covered")
    return str(known[0].get("regex_pattern", r"#### (\-?[0-9\.\,]+)")) if known else ""


def _ignored(metric: dict[str, Any]) -> str:
    if metric.get("regexes_to_ignore"):
        raise PromptError("regexes_to_ignore is not covered")
    names = {"ignore_case": "case", "ignore_punctuation": "punctuation"}
    return " ".join(word for name, word in names.items() if metric.get(name))
