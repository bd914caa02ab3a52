"""Gives a graph ragged inputs, as Triton's onnxruntime backend passes them, and batches rows inside the graph.

That backend concatenates the rows of all requests of a batch into one flat tensor per input, with the padding of
their requests, and passes the width of each row as a batch input `BATCH_ITEM_SHAPE`. The graph drops the padding,
sorts rows by length, and runs the network in a loop over the batches of `python_backend.batching.plan_batches`:
padded to the longest row at once, texts of 3% long ones took six times as long.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx
from onnx import TensorProto, compose, helper, parser

from engine.recipe import INPUTS, LABEL_ORDER, OUTPUT
from python_backend.batching import MAX_PADDING_PERCENT, MIN_ROWS

SHAPE = "_shape"
"""Suffix of the input with the width of each row of another, `[n, 1]` int32."""
BATCH = "batch_"
"""Prefix of all tensors of the network, whose names could be those of other tensors."""
OUTPUT_OF_NETWORK = BATCH + OUTPUT
KEY_FACTOR = 1 << 32
"""Of a row's length in the key by which rows are sorted; its number keeps the order of equal ones."""
BOOL, INT32, INT64 = TensorProto.BOOL, TensorProto.INT32, TensorProto.INT64


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """Of one run of the network, which bound its memory."""

    rows: int
    tokens: int
    """Padding included."""


def add_ragged_inputs(
    graph: onnx.ModelProto, *, vocabulary: int, token_types: int, max_tokens: int, limits: BatchLimits
) -> onnx.ModelProto:
    """Replace the inputs `[n, s]` by flat ones, `[sum of widths]` int64, and their widths, `[n, 1]` int32.

    A row that the model cannot take has the logits NaN, and changes no other row. It has inputs of different
    widths, no tokens or more than `max_tokens`, ids outside the vocabulary, token types that the model lacks, or a
    mask that is not ones followed by zeros.
    """
    network = compose.add_prefix_graph(graph.graph, BATCH, rename_nodes=False, inplace=True)
    body = parser.parse_graph(_one_batch(limits))
    # The constants go along: a loop's body is optimized by itself.
    body.initializer.extend(network.initializer)
    end = next(index for index, node in enumerate(body.node) if OUTPUT_OF_NETWORK in node.input)
    plan, rest = list(body.node[:end]), list(body.node[end:])
    del body.node[:]
    body.node.extend([*plan, *network.node, *rest])
    outer = parser.parse_graph(_all_rows(vocabulary, token_types, max_tokens))
    (loop,) = (node for node in outer.node if node.op_type == "Loop")
    loop.attribute.append(helper.make_attribute("body", body))
    outer.name = network.name
    graph.graph.CopyFrom(outer)
    onnx.checker.check_model(graph)
    return graph


def _all_rows(vocabulary: int, token_types: int, max_tokens: int) -> str:
    """The graph around the loop, in ONNX's textual syntax; `valid` and all widths and lengths are `[n, 1]`."""
    inputs = [f"int64[{name}_cells] {name}" for name in INPUTS]
    shapes = [f"int32[pairs, 1] {name}{SHAPE}" for name in INPUTS]
    return f"""
rows ({", ".join(inputs + shapes)}) => (float[pairs, {len(LABEL_ORDER)}] {OUTPUT}) {{
    zero = Constant <value_int = 0> ()
    one = Constant <value_int = 1> ()
    axis_0 = Constant <value_ints = [0]> ()
    axis_1 = Constant <value_ints = [1]> ()
    one_zero = Constant <value_ints = [0]> ()
    limit = Constant <value_int = {max_tokens}> ()
    last_id = Constant <value_int = {vocabulary - 1}> ()
    last_type = Constant <value_int = {token_types - 1}> ()

    widths = Cast <to = {INT64}> (input_ids{SHAPE})
    widest = ReduceMax <keepdims = 0> (widths)
    at_most = Min (widest, limit)
    at_least = Max (at_most, one)
    column_numbers = Range (zero, at_least, one)
    columns = Unsqueeze (column_numbers, axis_0)
    {"".join(map(_cells, INPUTS))}

    is_one = Equal (attention_mask_cells, one)
    ones = Cast <to = {INT64}> (is_one)
    tokens = ReduceSum <keepdims = 1> (ones, axis_1)
    is_token = Less (columns, tokens)
    expected_mask = Cast <to = {INT64}> (is_token)
    equal_mask = Equal (attention_mask_cells, expected_mask)
    wrong_mask = Not (equal_mask)
    negative_id = Less (input_ids_cells, zero)
    high_id = Greater (input_ids_cells, last_id)
    negative_type = Less (token_type_ids_cells, zero)
    high_type = Greater (token_type_ids_cells, last_type)
    wrong_id = Or (negative_id, high_id)
    wrong_type = Or (negative_type, high_type)
    wrong_id_or_type = Or (wrong_id, wrong_type)
    wrong = Or (wrong_mask, wrong_id_or_type)
    wrong_number = Cast <to = {INT32}> (wrong)
    any_wrong = ReduceMax <keepdims = 1> (wrong_number, axis_1)
    has_wrong = Cast <to = {BOOL}> (any_wrong)
    no_tokens = Less (tokens, one)
    too_long = Greater (widths, limit)
    same_mask = Equal (widths, attention_mask_widths)
    same_types = Equal (widths, token_type_ids_widths)
    same_shape = And (same_mask, same_types)
    other_shape = Not (same_shape)
    wrong_or_none = Or (has_wrong, no_tokens)
    long_or_other = Or (too_long, other_shape)
    invalid = Or (wrong_or_none, long_or_other)
    valid = Not (invalid)

    some_width = Min (widths, at_least)
    some_length = Max (some_width, one)
    lengths = Where (valid, tokens, some_length)
    pairs = Shape (lengths)
    row_count = Gather (pairs, zero)
    row_numbers = Range (zero, row_count, one)
    flat_lengths = Squeeze (lengths, axis_1)
    factor = Constant <value_int = {KEY_FACTOR}> ()
    scaled = Mul (flat_lengths, factor)
    keys = Add (scaled, row_numbers)
    row_counts = Unsqueeze (row_count, axis_0)
    sorted_keys, order = TopK <largest = 0> (keys, row_counts)
    sorted_lengths = Gather (flat_lengths, order)
    counts = Add (row_numbers, one)
    is_inside = Less (columns, lengths)
    masks = Cast <to = {INT64}> (is_inside)
    ids = Where (valid, input_ids_cells, zero)
    types = Where (valid, token_type_ids_cells, zero)
    all_input_ids = Gather (ids, order)
    all_attention_mask = Gather (masks, order)
    all_token_type_ids = Gather (types, order)

    true = Constant <value = bool {{1}}> ()
    none = Constant <value = float[0, {len(LABEL_ORDER)}] {{}}> ()
    end, sorted_logits = Loop (, true, zero, none)
    unused, rank = TopK <largest = 0> (order, row_counts)
    all_logits = Gather (sorted_logits, rank)
    nan = Constant <value = float {{nan}}> ()
    {OUTPUT} = Where (valid, all_logits, nan)
}}"""


def _cells(name: str) -> str:
    """`<name>_cells`, `[n, s]`: the values of a flat input, and 0 beyond the width of a row."""
    return f"""
    {name}_widths = Cast <to = {INT64}> ({name}{SHAPE})
    {name}_starts = CumSum <exclusive = 1> ({name}_widths, zero)
    {name}_inside = Less (columns, {name}_widths)
    {name}_before = Add ({name}_starts, columns)
    {name}_position = Add ({name}_before, one)
    {name}_index = Where ({name}_inside, {name}_position, zero)
    {name}_behind_zero = Concat <axis = 0> (one_zero, {name})
    {name}_cells = Gather ({name}_behind_zero, {name}_index)"""


def _one_batch(limits: BatchLimits) -> str:
    """The body of the loop, without the network: the rule of `plan_batches`, and the rows of the next batch."""
    return f"""
batch (int64 step, bool go_on, int64 start, float[done, {len(LABEL_ORDER)}] done_logits)
    => (bool more, int64 next, float[together, {len(LABEL_ORDER)}] logits_so_far) {{
    max_rows = Constant <value_int = {limits.rows}> ()
    max_tokens = Constant <value_int = {limits.tokens}> ()
    min_rows = Constant <value_int = {MIN_ROWS}> ()
    percent = Constant <value_int = {MAX_PADDING_PERCENT}> ()
    hundred = Constant <value_int = 100> ()
    starts = Unsqueeze (start, axis_0)
    rest = Slice (sorted_lengths, starts, row_counts, axis_0)
    rest_shape = Shape (rest)
    rows = Slice (counts, axis_0, rest_shape, axis_0)
    padded = Mul (rows, rest)
    unpadded = CumSum (rest, zero)
    padding = Sub (padded, unpadded)
    many_rows = Greater (rows, max_rows)
    many_tokens = Greater (padded, max_tokens)
    several = Greater (rows, one)
    several_tokens = And (several, many_tokens)
    full = Or (many_rows, several_tokens)
    padding_share = Mul (padding, hundred)
    allowed_share = Mul (padded, percent)
    much_padding = Greater (padding_share, allowed_share)
    above_minimum = Greater (rows, min_rows)
    wasteful = And (above_minimum, much_padding)
    closed = Or (full, wasteful)
    at_end = Constant <value = bool[1] {{1}}> ()
    ends = Concat <axis = 0> (closed, at_end)
    end_numbers = Cast <to = {INT32}> (ends)
    count = ArgMax <axis = 0, keepdims = 0> (end_numbers)
    last = Sub (count, one)
    width = Gather (rest, last)
    next = Add (start, count)
    more = Less (next, row_count)
    both_axes = Constant <value_ints = [0, 1]> ()
    next_1d = Unsqueeze (next, axis_0)
    width_1d = Unsqueeze (width, axis_0)
    from = Concat <axis = 0> (starts, axis_0)
    to = Concat <axis = 0> (next_1d, width_1d)
    {BATCH}input_ids = Slice (all_input_ids, from, to, both_axes)
    {BATCH}attention_mask = Slice (all_attention_mask, from, to, both_axes)
    {BATCH}token_type_ids = Slice (all_token_type_ids, from, to, both_axes)
    logits_so_far = Concat <axis = 0> (done_logits, {OUTPUT_OF_NETWORK})
}}"""
