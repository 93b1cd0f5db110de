# ruff: noqa: E501
"""What a compiled flow must not change, case by case: small flows in which running ahead could be noticed.

Each is the body of a module with a flow `case` (see `flow_maker.WORLD` for what it may use), run both ways under several
schedules. A text with `fail` in it makes the model fail, one with `slow` makes it take its time.
"""

from __future__ import annotations

import tempfile
import textwrap
import warnings
from collections.abc import Iterator
from pathlib import Path

import flow_maker
import pytest
from flow_runner import Model, Runner

CASES: dict[str, str] = {}
_GROUPS = {
    "builtins that call or iterate their arguments are taken to be pure": """
        no_effect_of_membership_beyond_a_failure no_effect_of_len_beyond_a_failure no_effect_of_str_beyond_a_failure""",
    "operators, attributes and items of the user's classes are taken to be pure": """
        no_effect_of_a_comparison_beyond_a_failure no_effect_of_an_item_beyond_a_failure
        no_effect_of_an_operator_beyond_a_failure no_effect_of_hashing_beyond_a_failure
        no_effect_of_showing_beyond_a_failure no_effect_of_truth_beyond_a_failure""",
}
BROKEN = {name: reason for reason, names in _GROUPS.items() for name in names.split()}


def case(name: str, body: str, before: str = "", args: str = "('a', ['x', 'y'], {'a': 1}, Point('p', 1)), {}") -> None:
    """A flow of (text, items, table, point)."""
    flow = f"@tw.flow\ndef case(text, items, table, point):\n{textwrap.indent(textwrap.dedent(body).strip(), '    ')}\n"
    CASES[name] = f"{textwrap.dedent(before).strip()}\n\n\n{flow}\n\ndef arguments():\n    return {args}\n"


# -- order of evaluation ----------------------------------------------------------------------------------------------

case("an_item_is_read_before_the_update_is_worked_out", "table['a'] += len(put(table, 'a', 5))\nreturn table")
case(
    "an_own_item_is_read_before_the_update_is_worked_out",
    "v = ['a']\nv[0] += push(v, ask_text(text))[-1]\nv[0] += str(apply(lambda t: v.insert(0, t), 'z'))\nreturn v",
)
case("an_attribute_is_read_before_the_update_is_worked_out", "point.size += point.grow(3).size\nreturn point")
case(
    "a_global_is_read_before_the_update_is_worked_out", "global COUNT\nCOUNT += tally() + ask_count(text)\nreturn COUNT"
)
case("an_update_of_a_missing_item_fails_before_its_value_is_asked_for", "table['missing'] += ask_count(text)")
case(
    "a_captured_name_is_read_before_the_update_is_worked_out",
    """
    n = 1
    def bump(t):
        nonlocal n
        n += 10
        return 1
    n += bump('a')
    return n
""",
)
case(
    "a_text_name_is_read_before_the_update_is_worked_out",
    """
    n = ask_text(text)
    def change(t):
        nonlocal n
        n = 'changed'
        return t
    n += change('b')
    return n
""",
)
case("parts_of_a_text_are_written_in_order", "return f'{items}{push(items, text)}{push(items, ask_text(text))}'")
case(
    "parts_of_a_text_are_written_in_order_with_a_name_first",
    "return f'{items}{keep(text)}{keep(text)}' + f'{SHELF}{keep(text)}{keep(text)}'",
)
case("a_name_between_calls_is_read_in_its_turn", "return f'{push(items, text)}{items}{push(items, text)}'")
case("operands_are_worked_out_in_order", "return say(ask_text(text)) + say(ask_text('b')) + say('c')")
case("comparisons_stop_early", "return 'a' < ask_text(text) < say('zz') < say('b') < say('c')")
case("conditions_stop_early", "return ask_bool(text) and say('1') or ask_bool('b') and say('2') or say('3')")
case("targets_are_set_from_left_to_right", "a = table[ask_text(text)] = a2 = ask_count(text)\nreturn a, a2, table")
case(
    "a_tuple_is_set_from_left_to_right",
    "a, a = ask_text(text), ask_text('b')\nb, table[b] = ask_text('c'), 3\nreturn a, b, table",
)
case(
    "swapping",
    "a, b = ask_text(text), ask_text('b')\na, b = b, a\nitems[0], items[1] = items[1], items[0]\nreturn a, b, items",
)
case(
    "arguments_are_worked_out_in_order",
    "return combine([say('a'), ask_text(say('b')), *each([say('c')], say), say('d')])",
)
case(
    "keys_and_values_are_worked_out_in_order",
    "return {say('a'): say(ask_text('b')), say('c'): ask_text(say('d')), **{say('e'): 1}}",
)
case("a_container_is_found_after_its_value", "v = [['a'], ['b']]\nv[len(v) - 1][0] = str(len(push(v, 'c')))\nreturn v")
case(
    "the_message_of_an_assertion_is_only_made_if_it_fails",
    "assert text == 'a', say('no')\nassert ask_text('slow') == 'never', say(ask_text('yes'))",
)

# -- nothing happens beyond a failure ---------------------------------------------------------------------------------

case("no_effect_of_a_generator_beyond_a_failure", "for one in numbered(items):\n    ask_text('slow fail' + one)")
case(
    "no_effect_of_a_generator_in_a_comprehension_beyond_a_failure",
    "return [ask_text('slow fail' + one) for one in numbered(items)]",
)
case(
    "no_effect_of_zipped_generators_beyond_a_failure",
    "return [ask_text('slow fail' + a) for a, b in zip(numbered(items), items)]",
)
case(
    "a_read_does_not_see_the_next_element_of_a_generator",
    "return [look('slow') + one for one in numbered(items)] + [look(text) for one in numbered(items)]",
)
case(
    "no_effect_in_a_generator_expression_beyond_a_failure", "ask_text('slow fail')\nreturn list(keep(t) for t in items)"
)
case("no_effect_in_a_sort_key_beyond_a_failure", "ask_text('slow fail')\nreturn sorted(items, key=lambda t: keep(t))")
case("no_effect_in_a_named_sort_key_beyond_a_failure", "ask_text('slow fail')\nreturn sorted(items, key=say)")
case("no_effect_in_a_map_beyond_a_failure", "ask_text('slow fail')\nreturn list(map(keep, items))")
case("no_effect_in_max_beyond_a_failure", "ask_text('slow fail')\nreturn max(items, key=keep)")
case(
    "no_effect_of_a_helper_that_calls_its_argument_beyond_a_failure",
    "ask_text('slow fail')\nreturn each(items, keep), apply(say, text)",
)
case("no_effect_of_a_partial_beyond_a_failure", "ask_text('slow fail')\nreturn functools.partial(keep, 'a')()")
case("no_effect_of_a_lambda_beyond_a_failure", "f = lambda t: keep(t)\nask_text('slow fail')\nreturn f('b')")
case(
    "no_effect_of_an_inner_function_beyond_a_failure",
    "def f(t):\n    items.append(t)\n    return t\nask_text('slow fail')\nreturn f('b')",
)
case("no_effect_of_a_default_beyond_a_failure", "ask_text('slow fail')\nf = lambda t=keep('b'): t\nreturn f()")
case(
    "no_effect_of_a_default_of_an_inner_function_beyond_a_failure",
    "ask_text('slow fail')\ndef f(t=keep('b')):\n    return t\nreturn f()",
)
case("no_effect_of_unpacking_beyond_a_failure", "ask_text('slow fail')\na, b = numbered(items)\nreturn a")
case("no_effect_of_a_starred_generator_beyond_a_failure", "ask_text('slow fail')\nreturn [*numbered(items)]")
case("no_effect_of_membership_beyond_a_failure", "made = numbered(items)\nask_text('slow fail')\nreturn '0x' in made")
case("no_effect_of_next_beyond_a_failure", "made = numbered(items)\nask_text('slow fail')\nreturn next(made)")
case("no_effect_of_joining_beyond_a_failure", "made = numbered(items)\nask_text('slow fail')\nreturn '-'.join(made)")
case("no_effect_of_a_constructor_beyond_a_failure", "ask_text('slow fail')\nreturn Checked('a')")
case("no_effect_of_a_method_beyond_a_failure", "ask_text('slow fail')\nreturn point.grow(1)")
case("no_effect_of_submitting_beyond_a_failure", "ask_text('slow fail')\nreturn ask_text.submit('slower').result()")
case(
    "no_effect_of_submitting_beyond_a_failing_flow",
    "sub(text)\nask_text.submit('slower')\nreturn 1",
    "@tw.flow\ndef sub(t):\n    return ask_text('slow fail')",
)
case("no_effect_of_mapping_beyond_a_failure", "ask_text('slow fail')\nreturn ask_text.map(items)")
case("no_change_of_an_argument_beyond_a_failure", "ask_text('slow fail')\nitems.append('z')")
case("no_change_of_an_item_beyond_a_failure", "ask_text('slow fail')\nitems[0] = 'z'")
case("no_change_of_a_slice_beyond_a_failure", "ask_text('slow fail')\nitems[:] = ['z']")
case("no_deletion_beyond_a_failure", "ask_text('slow fail')\ndel items[0]")
case("no_change_of_an_attribute_beyond_a_failure", "ask_text('slow fail')\npoint.size = 7")
case("no_change_of_a_loop_target_beyond_a_failure", "ask_text('slow fail')\nfor items[0] in ['q', 'r']:\n    pass")
case(
    "no_change_of_an_attribute_as_loop_target_beyond_a_failure",
    "ask_text('slow fail')\nfor point.size in range(5):\n    pass",
)
case("no_update_of_an_argument_beyond_a_failure", "ask_text('slow fail')\nitems += ['z']")
case("no_update_of_an_alias_beyond_a_failure", "other = items\nask_text('slow fail')\nother += ['z']")
case("no_change_of_a_list_inside_an_own_one_beyond_a_failure", "own = [items]\nask_text('slow fail')\nown[0] += ['z']")
case(
    "no_change_of_a_list_inside_an_own_dict_beyond_a_failure",
    "own = {'k': items}\nask_text('slow fail')\nown['k'].append('z')",
)
case(
    "no_update_of_a_list_inside_an_own_dict_beyond_a_failure",
    "own = {'k': items}\nask_text('slow fail')\nown['k'] += ['z']",
)
case(
    "no_change_of_a_kept_list_beyond_a_failure", "own = []\nTABLE['own'] = own\nask_text('slow fail')\nown.append('z')"
)
case("no_update_of_a_kept_list_beyond_a_failure", "own = []\nTABLE['own'] = own\nask_text('slow fail')\nown += ['z']")
case("no_store_into_a_kept_dict_beyond_a_failure", "own = {}\nTABLE['own'] = own\nask_text('slow fail')\nown['z'] = 1")
case(
    "no_other_change_of_a_kept_list_beyond_a_failure",
    "own = ['a']\nTABLE['own'] = own\nask_text('slow fail')\nown.extend(['z'])",
)
case(
    "no_change_of_a_list_kept_in_an_argument_beyond_a_failure",
    "own = []\nitems.append(own)\nask_text('slow fail')\nown.append('z')",
)
case(
    "no_change_of_a_list_kept_by_a_helper_beyond_a_failure",
    "own = ['a']\nkeep(own)\nask_text('slow fail')\nown[0] = 'z'",
)
case(
    "no_change_of_a_dataclass_kept_elsewhere_beyond_a_failure",
    "p = Point(text, 1)\nTABLE['p'] = p\nask_text('slow fail')\np.size = 9",
)
case("no_global_beyond_a_failure", "global COUNT\nask_text('slow fail')\nCOUNT = 5")
case("no_global_as_loop_target_beyond_a_failure", "global COUNT\nask_text('slow fail')\nfor COUNT in [5, 6]:\n    pass")
case("no_global_as_walrus_beyond_a_failure", "global COUNT\nask_text('slow fail')\nif (COUNT := 5) > 3:\n    pass")
case(
    "no_global_as_pattern_beyond_a_failure",
    "global COUNT\nask_text('slow fail')\nmatch 5:\n    case COUNT:\n        pass",
)
case(
    "no_global_as_context_beyond_a_failure",
    "global COUNT\nask_text('slow fail')\nwith contextlib.nullcontext(5) as COUNT:\n    pass",
)
case("no_global_unpacked_beyond_a_failure", "global COUNT\nask_text('slow fail')\nCOUNT, x = 5, 6")
case(
    "no_effect_of_a_property_beyond_a_failure",
    "ask_text('slow fail')\nreturn Loud().name",
    "class Loud:\n    @property\n    def name(self):\n        LOG.append('name')\n        return 'n'",
)
case(
    "no_effect_of_an_operator_beyond_a_failure",
    "one = Loud()\nask_text('slow fail')\nreturn one + 1",
    "class Loud:\n    def __add__(self, other):\n        LOG.append('add')\n        return 1",
)
case(
    "no_effect_of_a_comparison_beyond_a_failure",
    "one = Loud()\nask_text('slow fail')\nreturn one == 1",
    "class Loud:\n    def __eq__(self, other):\n        LOG.append('eq')\n        return True",
)
case(
    "no_effect_of_showing_beyond_a_failure",
    "one = Loud()\nask_text('slow fail')\nreturn f'{one}'",
    "class Loud:\n    def __str__(self):\n        LOG.append('str')\n        return 's'",
)
case(
    "no_effect_of_an_item_beyond_a_failure",
    "one = Loud()\nask_text('slow fail')\nreturn one[1]",
    "class Loud:\n    def __getitem__(self, key):\n        LOG.append('item')\n        return 's'",
)
case(
    "no_effect_of_truth_beyond_a_failure",
    "one = Loud()\nask_text('slow fail')\nreturn 1 if one else 2",
    "class Loud:\n    def __bool__(self):\n        LOG.append('bool')\n        return True",
)
case(
    "no_effect_of_len_beyond_a_failure",
    "one = Loud()\nask_text('slow fail')\nreturn len(one)",
    "class Loud:\n    def __len__(self):\n        LOG.append('len')\n        return 3",
)
case(
    "no_effect_of_str_beyond_a_failure",
    "one = Loud()\nask_text('slow fail')\nreturn str(one)",
    "class Loud:\n    def __str__(self):\n        LOG.append('str')\n        return 's'",
)
case(
    "no_effect_of_hashing_beyond_a_failure",
    "one = Loud()\nask_text('slow fail')\nreturn len({one: 1})",
    "class Loud:\n    def __hash__(self):\n        LOG.append('hash')\n        return 3",
)
case(
    "no_effect_of_calling_an_object_beyond_a_failure",
    "one = Loud()\nask_text('slow fail')\nreturn one()",
    "class Loud:\n    def __call__(self):\n        LOG.append('call')\n        return 3",
)
case("a_print_between_failures", "ask_text('a')\nprint('one')\nask_text('slow fail')\nprint('two')")

# -- state is read in its turn ----------------------------------------------------------------------------------------

_WRITER = "@tw.flow\ndef sub(t):\n    found = ask_text(t)\n    keep(found)\n    tally()\n    TABLE['sub'] = 1\n    return found"
case(
    "the_length_of_a_global_list_is_read_after_a_flow_that_changes_it", "a = sub('slow')\nreturn a, len(SHELF)", _WRITER
)
case("a_global_number_is_read_after_a_flow_that_changes_it", "a = sub('slow')\nreturn a, COUNT", _WRITER)
case(
    "a_global_item_is_read_after_a_flow_that_changes_it",
    "a = sub('slow')\nreturn SHELF[-1], TABLE.get('sub'), 'sub' in TABLE",
    _WRITER,
)
case("a_global_list_is_looped_over_after_a_flow_that_changes_it", "a = sub('slow')\nreturn [t for t in SHELF]", _WRITER)
case("a_global_list_is_passed_on_after_a_flow_that_changes_it", "a = sub('slow')\nreturn combine(SHELF)", _WRITER)
case(
    "a_global_list_is_returned_by_a_flow_after_one_that_changes_it",
    "a = sub('slow')\nb = other('b')\nreturn a, b",
    _WRITER + "\n\n@tw.flow\ndef other(t):\n    return len(SHELF), COUNT, ask_text(t)",
)
case(
    "a_global_list_is_copied_before_it_is_changed",
    "a = SHELF[:]\nb = SHELF\nsub('slow')\nc = list(SHELF)\nreturn a, b, c",
    _WRITER,
)
case("a_helper_reads_after_a_flow_that_writes", "a = sub('slow')\nreturn peek(), look('b'), len(stock())", _WRITER)
case(
    "a_flow_reads_an_argument_before_it_is_changed",
    "a = sub(items)\nitems.append('z')\nreturn a, items",
    "@tw.flow\ndef sub(items):\n    ask_text('slow')\n    return [*items, ask_text('b')]",
)
case(
    "a_flow_reads_an_own_list_before_it_is_changed",
    "own = ['a']\na = sub(own)\nown.append('z')\nreturn a, own",
    "@tw.flow\ndef sub(items):\n    ask_text('slow').upper()\n    return [*items, ask_text('b')]",
)
case(
    "a_closure_reads_a_list_before_it_is_changed",
    "own = ['a']\nf = make(own)\na = f('slow')\nown.append('z')\nreturn a, own",
    "def make(box):\n    @tw.flow\n    def sub(t):\n        ask_text(t).upper()\n        return list(box)\n    return sub",
)
case(
    "a_closure_changes_a_list_before_it_is_read",
    "own = ['a']\nf = make(own)\na = f('slow')\nb = len(own)\nc = own[:]\nd = combine(own)\nreturn a, b, c, d",
    "def make(box):\n    @tw.flow\n    def sub(t):\n        found = ask_text(t)\n        box.append(found)\n        return found\n    return sub",
)
case(
    "a_closure_changes_an_own_list_that_is_appended_to",
    "own = ['a']\nf = make(own)\na = f('slow')\nown.append('b')\nreturn a, own",
    "def make(box):\n    @tw.flow\n    def sub(t):\n        found = ask_text(t)\n        box.append(found)\n        return found\n    return sub",
)
case(
    "a_flow_returns_its_argument_itself",
    "a = sub(items)\nb = sub(['q'])\na.append('z')\nb.append('y')\nreturn a is items, a, b",
    "@tw.flow\ndef sub(items):\n    ask_text('slow')\n    return items",
)
case(
    "a_flow_keeps_its_argument",
    "own = ['a']\na = sub(own)\nown.append('z')\nreturn a, own",
    "@tw.flow\ndef sub(items):\n    ask_text('slow')\n    TABLE['kept'] = items\n    return 1",
)
case(
    "a_flow_keeps_its_argument_in_its_result",
    "own = ['a']\na = sub(own)\nown.append('z')\nreturn a, own",
    "@tw.flow\ndef sub(items):\n    return {'k': [items, ask_text('slow')]}",
)
case(
    "a_flow_hands_its_argument_to_another",
    "own = ['a']\na = sub(own)\nown.append('z')\nreturn a, own",
    "@tw.flow\ndef inner(items):\n    items.append(ask_text('slow'))\n    return items\n\n@tw.flow\ndef sub(items):\n    return inner(items)",
)
case(
    "a_flow_changes_part_of_its_argument",
    "own = [['a'], ['b']]\na = sub(own)\nown[0].append('z')\nreturn a, own",
    "@tw.flow\ndef sub(items):\n    for one in items:\n        one.append(ask_text('slow'))\n    return len(items)",
)
case(
    "a_flow_returns_part_of_its_argument",
    "own = {'k': ['a']}\na = sub(own)\nown['k'].append('z')\na.append('y')\nreturn a, own",
    "@tw.flow\ndef sub(table):\n    ask_text('slow')\n    return table['k']",
)
case(
    "a_flow_returns_an_alias_of_its_argument",
    "own = ['a']\na = sub(own)\nb = own[0]\na.append('y')\nreturn a is own, b",
    "@tw.flow\ndef sub(items):\n    other = items if ask_bool('slow') else items\n    return other",
)
case(
    "a_default_list_is_the_same_each_time",
    "a = sub(text)\nb = sub('b')\nc = sub('slow', ['q'])\nreturn a, b, c",
    "@tw.flow\ndef sub(t, kept=[]):\n    kept.append(ask_text(t))\n    return list(kept)",
)
case(
    "a_default_list_that_is_returned_is_shared",
    "a = sub(text)\nb = sub('b')\na.append('z')\nreturn a is b, b",
    "@tw.flow\ndef sub(t, kept=['k']):\n    ask_text(t)\n    return kept",
)
case(
    "a_dataclass_changed_by_a_flow",
    "own = Point(text, 1)\na = sub(own)\nreturn a, own.size, own",
    "@tw.flow\ndef sub(p):\n    p.size += ask_count('slow')\n    return p",
)

# -- containers and identity ------------------------------------------------------------------------------------------

case(
    "one_result_in_two_places_is_one_object",
    "found = ask_list(text)\na, b = [found], {'k': found}\na[0].append('q')\nreturn a, b, found",
)
case(
    "a_list_of_results_shared",
    "a = [ask_text(text)]\nb = a\nc = {'k': a, 't': (a, 1)}\nb.append(ask_text('b'))\nreturn a, b, c, c['t'][0] is a",
)
case(
    "a_tuple_of_results",
    "a = (ask_text(text), [ask_text('b')])\nb = a\nreturn a, b, a is b, a[0], a == b, (*a,), a + (1,), hash(a[0]) == hash(b[0]), isinstance(a, tuple)",
)
case("a_tuple_as_a_key", "a = (ask_text(text), 1)\nreturn {a: 1}, {a}, a in {a: 2}")
case(
    "a_dataclass_of_results",
    "p = Point(ask_text(text), ask_count(text))\nq = p\nq.size += 1\nreturn p, q is p, p == Point(p.name, p.size), p.label, replace(p, name='z'), repr(p), p.grow(2)",
)
case(
    "a_frozen_dataclass_of_results",
    "t = Tag(ask_text(text), (ask_text('b'), [ask_text('c')]))\nreturn t, hash(t.text), t == t, t.parts[1]",
)
case(
    "a_named_tuple_of_results",
    "p = Pair(ask_text(text), ask_count(text))\na, b = p\nreturn p, a, b, p._replace(left='z')",
)
case(
    "slices_and_copies",
    "a = [ask_text(t) for t in 'abc']\nb = a[1:]\nc = a[:]\na[0] = 'z'\nb.append(ask_text('d'))\na[1:2] = ask_list('e')\nreturn a, b, c, a[::-1], a[-1]",
)
case(
    "lists_joined_and_repeated",
    "a = [ask_text(text)]\nb = a + [ask_text('b')] + items\nc = [a] * 2\nc[0].append('z')\nb += a\nreturn a, b, c, a * 2, b == b[:], a in c",
)
case(
    "lists_sorted_in_place",
    "a = [ask_text(t) for t in 'abcd']\na.sort()\nb = sorted(a, key=ask_count)\na.reverse()\nreturn a, b, a.index(a[0]), a.count(a[0]), a.pop(), a",
)
case(
    "dicts_of_results",
    "d = {t: ask_text(t) for t in 'ab'}\nd['c'] = ask_text('c')\nd.update(e=ask_text('e'))\nx = d.pop('a')\nd.setdefault('a', ask_text('z'))\nreturn d, x, list(d), list(d.values()), {**d, 'q': 1}, d | {'r': ask_text('r')}, 'c' in d, len(d)",
)
case(
    "a_list_that_holds_itself",
    "a = [ask_text(text)]\na.append(a)\nb = [a[0], ask_text('b')]\nreturn a[1] is a, b, a[0]",
)
case(
    "subclasses_of_containers",
    """
    from collections import Counter, defaultdict, deque
    d = defaultdict(list)
    for t in items:
        d[ask_word(t)].append(ask_text(t))
    q = deque([ask_text(text)], maxlen=2)
    q.append(ask_text('b'))
    return dict(d), list(q), dict(Counter(ask_list(text)))
""",
)
case(
    "an_iterator_made_before_an_append", "a = [ask_text(text)]\ni = iter(a)\na.append(ask_text('b'))\nreturn list(i), a"
)
case(
    "a_list_that_grows_while_it_is_looped_over",
    "a = [ask_text(text)]\nfor one in a:\n    if len(a) < 4:\n        a.append(ask_text(one))\nreturn a",
)
case(
    "a_list_that_is_looped_over_and_changed",
    "a = [ask_text(t) for t in 'abc']\nb = []\nfor i, one in enumerate(a):\n    a[i] = one + 'x'\n    b.append(ask_text(one))\nreturn a, b",
)
case(
    "makers_that_are_shadowed",
    "a = list()\na.append(ask_text('slow'))\nreturn len(SHELF), SHELF[-1], a is SHELF",
    "def list():\n    return SHELF",
)
case(
    "zip_that_is_shadowed",
    "return [a + b for a, b in zip(items, items)]",
    "def zip(a, b):\n    LOG.append('zip')\n    return [('q', say('r'))]",
)
case(
    "an_object_with_a_list_inside",
    "b = Holder()\nb.items = [ask_text(text)]\nc = b.items\nc.append(ask_text('b'))\nreturn b.items, c is b.items",
    "class Holder:\n    pass",
)
case(
    "none_and_true_are_themselves",
    "a = ask_maybe(text)\nb = ask_maybe('c')\nreturn [a is None, b is None, ask_bool(text) is True, ask_bool('b') is False, (a, b) == (None, None), [a] == [None]]",
)
case(
    "types_are_plain",
    "a = ask_text(text)\nb = [a, ask_count(text)]\nreturn type(a).__name__, [type(x).__name__ for x in b], isinstance(b[1], int), callable(a), str(b), json.dumps(b)",
)

# -- names ------------------------------------------------------------------------------------------------------------

case(
    "a_lambda_sees_the_last_value",
    "fs = []\nfor t in items:\n    v = ask_text(t)\n    fs.append(lambda: v + t)\nv = ask_text('last')\nreturn [f() for f in fs]",
)
case(
    "a_function_sees_a_name_set_later",
    "def f():\n    return v + later\nv = ask_text(text)\nlater = ask_text('b')\nreturn f()",
)
case(
    "a_generator_sees_the_last_value",
    "v = ask_text(text)\ng = (ask_text(t + v) for t in items)\nv = ask_text('b')\nx = ask_text('c')\nreturn list(g), x",
)
case(
    "comprehensions_have_their_own_names",
    "t = ask_text(text)\na = [ask_text(t) for t in items]\nb = {t: ask_count(t) for t in a}\nreturn t, a, b, [u for t in items for u in ask_list(t)]",
)
case(
    "walrus_in_a_comprehension",
    "a = [y for t in items if (y := ask_text(t)) > 'b' or y]\nreturn a, y, [(z := ask_text(t), z + '!') for t in a], z",
)
case(
    "a_name_not_set_after_a_failure",
    "try:\n    x = ask_text('slow fail')\n    y = 1\nexcept ModelError:\n    pass\nreturn y",
)
case(
    "a_name_kept_after_a_failure",
    "x = 'before'\nfor t in ['a', 'slow fail', 'b']:\n    try:\n        x = t\n        y = ask_text(t)\n        x = t + '!'\n        if y:\n            x += '?'\n    except ModelError as e:\n        say(x)\nreturn x, y",
)
case(
    "a_loop_name_kept_after_a_failure",
    "try:\n    for t in ['a', 'slow fail', 'b']:\n        ask_text(t)\nexcept ModelError:\n    pass\nreturn t",
)
case(
    "a_loop_name_kept_after_a_failure_in_a_generator",
    "try:\n    for t in numbered(['a', 'slow fail', 'b']):\n        x = ask_text(t)\nexcept ModelError:\n    pass\nreturn t, x",
)
case(
    "a_walrus_kept_after_a_failure",
    "x = 0\ntry:\n    ask_text('slow fail')\n    if (x := 1) and say('a'):\n        pass\nexcept ModelError:\n    pass\nreturn x",
)
case(
    "a_pattern_kept_after_a_failure",
    "x = 0\ntry:\n    ask_text('slow fail')\n    match text:\n        case x:\n            pass\nexcept ModelError:\n    pass\nreturn x",
)
case(
    "an_inner_function_kept_after_a_failure",
    "f = shout\ntry:\n    ask_text('slow fail')\n    def f(t):\n        return t\nexcept ModelError:\n    pass\nreturn f('q')",
)
case(
    "a_deleted_name_kept_after_a_failure",
    "x = 5\ntry:\n    ask_text('slow fail')\n    del x\nexcept ModelError:\n    pass\nreturn x",
)
case(
    "an_own_list_kept_after_a_failure",
    "a = []\nd = {}\ntry:\n    a.append(ask_text('a'))\n    a.append(ask_text('slow fail'))\n    a.append('never')\n    d['k'] = 1\nexcept ModelError:\n    a.append('caught')\nreturn a, d",
)
case(
    "a_list_with_a_failed_result_dropped",
    "a = ['x']\ntry:\n    a[0] = ask_text('slow fail')\nexcept ModelError:\n    pass\ntry:\n    a.append(ask_text('slow fail'))\nexcept ModelError:\n    pass\nreturn a, len(a)",
)
case("unbound_names", "if ask_bool(text):\n    x = 1\nelse:\n    y = 1\nreturn x, y")
case(
    "an_inner_function_is_named_as_in_the_source",
    "def f(t):\n    return t\nreturn [one.__qualname__ for one in (f, lambda t: t)]",
)
case("builtins_as_names", "len = ask_text(text)\nid = [len]\nmax = lambda t: t\nreturn max(len), id")

# -- blocks -----------------------------------------------------------------------------------------------------------

case(
    "an_error_belongs_to_its_own_try",
    "try:\n    a = ask_text('slow fail')\nexcept ModelError:\n    a = 'caught'\ntry:\n    b = ask_text('slow fail')\nexcept ValueError:\n    b = 'wrong'\nreturn a, b",
)
case(
    "an_error_before_a_try_is_not_caught_in_it",
    "ask_text('slow fail')\ntry:\n    say('a')\nexcept ModelError:\n    return 'wrong'",
)
case(
    "an_error_in_else_is_not_caught",
    "try:\n    a = ask_text(text)\nexcept ModelError:\n    return 'wrong'\nelse:\n    ask_text('slow fail')\nfinally:\n    say('finally')\nreturn a",
)
case(
    "finally_runs_after_a_failure",
    "try:\n    ask_text('slow fail')\n    say('never')\nfinally:\n    say('finally')\n    a = ask_text('b')\n    say(a)",
)
case("finally_overrides", "try:\n    return ask_text('slow fail')\nfinally:\n    return ask_text('b')")
case(
    "finally_overrides_in_a_loop",
    "for t in ['slow fail', 'b']:\n    try:\n        x = ask_text(t)\n    finally:\n        continue\nreturn t",
)
case(
    "a_returned_name_changed_in_finally",
    "x = ask_text(text)\na = [x]\ntry:\n    return x, a\nfinally:\n    x = 'changed'\n    a.append(ask_text('b'))",
)
case(
    "a_failing_handler",
    "try:\n    ask_text('slow fail')\nexcept ModelError:\n    ask_text('slow fail too')\n    say('never')",
)
case(
    "a_failing_handler_inside_another",
    "try:\n    try:\n        ask_text('slow fail')\n    except ModelError as e:\n        x = ask_text('slow fail too')\n        raise Stop('never') from e\nexcept ModelError as e:\n    return str(e), getattr(e, '__notes__', None)",
)
case("raised_again", "try:\n    ask_text('slow fail')\nexcept ModelError as e:\n    say(str(e))\n    raise")
case(
    "raised_from_a_cause",
    "try:\n    ask_text('slow fail')\nexcept ModelError as e:\n    raise Stop(ask_text('b')) from e",
)
case("the_first_error_wins", "a = ask_text('slow fail 1')\nb = ask_text('fail 2')\nc = share(0)")
case(
    "the_first_error_wins_in_a_try",
    "try:\n    a = ask_text('slow fail 1')\n    b = ask_text('fail 2')\n    share(0)\nexcept ZeroDivisionError:\n    return 'wrong'\nexcept ModelError as e:\n    return str(e)",
)
case("the_first_error_wins_over_exit", "ask_text('slow fail')\nraise SystemExit(3)")
case("exit_leaves", "say(ask_text(text))\nraise SystemExit(3)")
case(
    "exit_of_a_flow_beside",
    "a = sub(text)\nb = ask_text('b')\nreturn a, b",
    "@tw.flow\ndef sub(t):\n    ask_text('slow')\n    raise SystemExit(3)",
)
case(
    "stop_iteration_is_an_error_like_others",
    "v = [sub(t) for t in items]\nw = []\nfor one in v:\n    w.append(one + 'x')\nreturn w",
    "@tw.flow\ndef sub(t):\n    ask_text('slow').upper()\n    return next(iter([]))",
)
case(
    "stop_iteration_caught",
    "try:\n    v = [sub(t) for t in items]\n    return [one + 'x' for one in v]\nexcept StopIteration:\n    return 'caught'",
    "@tw.flow\ndef sub(t):\n    ask_text('slow').upper()\n    return next(iter([]))",
)
case(
    "a_context_sees_the_failure",
    "with Logged('a', ModelError):\n    ask_text('slow fail')\n    say('never')\nreturn ask_text('b')",
)
case(
    "a_context_is_left_after_its_calls",
    "with Logged('a'):\n    a = ask_text('slow')\nwith Logged('b') as c, Logged('d'):\n    say(a)\n    return ask_text('slow fail')",
)
case(
    "suppressed_failures",
    "with contextlib.suppress(ModelError):\n    a = ask_text('slow fail')\n    say('never')\nwith contextlib.suppress(ValueError):\n    send('slow', 3)\n    say('never')\nreturn 1",
)
case(
    "a_context_that_cannot_be_entered",
    "with Logged('a'), Refusing(ask_text('slow')):\n    pass",
    "class Refusing:\n    def __init__(self, t):\n        self.t = t\n    def __enter__(self):\n        raise Stop(self.t)\n    def __exit__(self, *_):\n        LOG.append('never')",
)
case(
    "a_context_made_by_a_generator",
    "with around(ask_text(text)) as a:\n    b = ask_text('slow fail')\nreturn a",
    "@contextlib.contextmanager\ndef around(t):\n    LOG.append(('in', t))\n    try:\n        yield t\n    except ModelError:\n        LOG.append('out')\n        raise Stop('outside') from None",
)
case(
    "settings_hold_for_the_block",
    "with tw.using(seed=5):\n    a = ask_text('slow')\n    b = [ask_text(t) for t in items]\n    c = sub(text)\nd = ask_text('slow')\nreturn a, b, c, d",
    "@tw.flow\ndef sub(t):\n    return [ask_text(t), ask_text(ask_text(t))]",
)
case(
    "settings_hold_for_late_calls",
    "a = ask_text('slow')\nwith tw.using(seed=5):\n    b = ask_text(a)\nc = ask_text(a)\nreturn b, c",
)
case(
    "settings_of_a_flow",
    "a = sub.using(seed=2)(text)\nb = sub(text)\nreturn a, b",
    "@tw.flow\ndef sub(t):\n    return ask_text(ask_text(t))",
)
case(
    "loops_left_early",
    "for t in [*items, 'b', 'c']:\n    a = ask_text(t)\n    if a > 'b':\n        break\n    if ask_bool(t):\n        continue\n    say(a)\nelse:\n    say('else')\nwhile ask_bool(a) and len(a) < 6:\n    a += 'q'\nelse:\n    a += '.'\nreturn a, t",
)
case(
    "loops_left_from_inside_blocks",
    "for t in items:\n    with Logged(t):\n        try:\n            a = ask_text('slow')\n            if t == 'y':\n                break\n            continue\n        finally:\n            say(a)\nfor t in items:\n    try:\n        ask_text('slow fail')\n    except ModelError:\n        continue\n    say('never')\nreturn t",
)
case(
    "return_from_inside_a_loop_in_a_try",
    "try:\n    for t in items:\n        a = ask_text('slow fail')\n        return a\nexcept ModelError:\n    return 'caught'",
)
case(
    "patterns_on_results",
    """
    found = []
    for t in ['a', 'b', 'c', 'd', 'e']:
        match ask_shape(t):
            case Circle(radius=0 | 1 as r):
                found.append(('small', r))
            case Crate(width=w, tags=[first, *rest]) if ask_bool(first):
                found.append((w, first, rest, ask_text(t)))
            case Crate(tags=[]):
                found.append('empty')
            case other:
                found.append(other)
        match (ask_word(t), ask_bool(t), [ask_text(t)]):
            case ('red', True, _):
                found.append(1)
            case (('green' | 'blue') as c, False, [x]):
                found.append((c, x))
            case _:
                pass
        match {'k': ask_maybe(t), 'l': ask_list(t)}:
            case {'k': None, **rest}:
                found.append(rest)
            case {'k': str(s), 'l': [*_, last]}:
                found.append((s, last))
    return found
""",
)
case(
    "a_failing_guard", "match ask_text(text):\n    case x if share(0):\n        return 1\n    case _:\n        return 2"
)
case(
    "deep_recursion",
    "return down(40, text)",
    "@tw.flow\ndef down(depth, t):\n    if depth == 0:\n        return t\n    return ask_text(t)[:2] + down(depth - 1, t)[:5]",
)
case(
    "deep_recursion_with_pending_arguments",
    "return down(25, text)",
    "@tw.flow\ndef down(depth, t):\n    if depth == 0:\n        return [t]\n    return [ask_word(t), *down(depth - 1, ask_text(t))]",
)
case(
    "broad_recursion",
    "return tree(4, text)",
    "@tw.flow\ndef tree(depth, t):\n    if depth == 0:\n        return ask_text(t)\n    return [tree(depth - 1, t + 'l'), tree(depth - 1, t + 'r'), keep(t)]",
)
case(
    "flows_that_write_side_by_side",
    "a = [sub(t) for t in [*items, 'slow', 'z']]\nb = send('after')\nreturn a, b, stock()",
    "@tw.flow\ndef sub(t):\n    a = ask_text(t)\n    n = send(a, ask_count(t))\n    return [n, look(a), ask_text('slow'), send('again')]",
)
case(
    "flows_that_fail_side_by_side",
    "a = [sub(t) for t in ['a', 'slow', 'fail', 'z']]\nsay('never')\nreturn a",
    "@tw.flow\ndef sub(t):\n    keep(t)\n    b = ask_text('slow' + t)\n    say(b)\n    return b",
)
case(
    "a_failing_flow_inside_a_failing_flow",
    "a = sub(text)\nb = sub('b')\nreturn a, b",
    "@tw.flow\ndef inner(t):\n    a = ask_text('slow')\n    b = ask_text('slow fail' + t)\n    say('never')\n    return a\n\n@tw.flow\ndef sub(t):\n    try:\n        return inner(t) + 'x'\n    except ModelError as e:\n        say(str(e))\n        return inner(t + 'again')",
)
case("a_call_with_wrong_arguments", "a = ask_text('slow')\nb = ask_text()\nreturn a")
case(
    "a_flow_with_wrong_arguments",
    "a = ask_text('slow')\ntry:\n    sub(1, 2, 3)\nexcept TypeError as e:\n    say(str(e))\nreturn sub(t=1, q=2)",
    "@tw.flow\ndef sub(t):\n    return t",
)
case("what_is_not_callable", "a = ask_text('slow')\nreturn a(1)")
case(
    "gathered_values",
    "a, b = tw.gather(ask_text.submit(text), ask_text.submit('b'))\nc = tw.gather(sub.submit(text), 'plain', sub(text))\nreturn a, b, c",
    "@tw.flow\ndef sub(t):\n    return ask_text(t) + ask_text('slow')",
)
case(
    "reduced_and_filtered",
    "a = functools.reduce(lambda x, y: x + ask_text(y), items, '')\nb = list(filter(ask_bool, items))\nc = [*map(ask_text, b)]\nreturn a, b, c, sum(map(ask_count, items)), dict(zip(map(ask_text, items), items))",
)
case(
    "star_arguments",
    "return sub(*[ask_text(text), ask_text('b')], **{'k': ask_text('c')}), sub(*ask_list('slow'), k=text)",
    "@tw.flow\ndef sub(*rest, k, **more):\n    return [*rest, ask_text(k)], more, len(rest)",
)
case(
    "parameters_of_every_kind",
    "return sub(ask_text(text), 'b', c=ask_text('c')), sub('a', d=2, c='x')",
    "@tw.flow\ndef sub(a, /, b='d', *, c, d=4, **e):\n    return [ask_text(a), b, c, d, e]",
)
case(
    "a_learned_function_passed_on",
    "return sub(ask_text, text), sub(say, text), sub(sub2, text)",
    "@tw.flow\ndef sub2(t):\n    return ask_text(t)\n\n@tw.flow\ndef sub(f, t):\n    a = f(t)\n    say('between')\n    return a + f(t + 'b')",
)
case(
    "formats",
    "a, n = ask_text(text), ask_count(text)\nreturn f'{a!r:>{n + 3}}|{n:03d}|{a}{n}{ask_text(a)}', '%s-%d' % (a, n), '{} {x}'.format(a, x=n), f'{[a, n]}{(a,)}{ {a: n} }'",
)


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        made = Runner(Path(folder))
        yield made
        made.close()


def _marked() -> Iterator[object]:
    for name in CASES:
        marks = [pytest.mark.xfail(strict=True, reason=BROKEN[name])] if name in BROKEN else []
        yield pytest.param(name, marks=marks, id=name)


@pytest.mark.parametrize("name", list(_marked()))
def test_compiled_as_eager(runner: Runner, name: str) -> None:
    failed = runner.fails(flow_maker.Case(0, CASES[name]), 3, strict=True)
    assert failed is None, str(failed)


def test_every_case_gets_as_far_as_it_should(runner: Runner) -> None:
    """No case is a module that cannot be loaded or a flow with a mistake of its own."""
    for name, source in CASES.items():
        module = runner.load(flow_maker.Case(0, source))
        model = Model(module.script, 0)
        eager = runner.outcome(module, module.case.eager, model, name, 5)
        model.close()
        error = eager.result[1][1][0] if eager.result[1][0][1] == "error" else ""
        assert error not in ("NameError", "AttributeError", "SyntaxError"), (name, eager.result)
        runner.unload(module)
