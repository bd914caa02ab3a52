"""The entrances that take many texts from people: batches, the command line and the page; which test proves what.

They ask `/v1/classify`, so what the gateway promises there holds for them. What they do themselves is tested where
they run: a cell names the test, or says in both languages why there is none.
"""

from __future__ import annotations

Cell = str | tuple[str, str]
"""The id of a test; or the reason, in English and Chinese."""
AS_CLASSIFY = ("as `/v1/classify`", "同 `/v1/classify`")
SIXTEEN = ("16 texts per request", "每个请求 16 条")
PLAIN = ("not compressed", "不压缩")

WORKER = "tests/control_plane/worker/test_worker.py"
TABLES, PAGE, PAGE_FILES = "tests/e2e/test_tables.py", "tests/e2e/test_page.py", "tests/e2e/test_page_files.py"
QUOTA = f"{TABLES}::test_a_hundred_lines_at_a_small_quota_are_answered_and_paid_once"
PAGE_QUOTA = f"{PAGE_FILES}::test_a_hundred_lines_at_a_small_quota_are_answered_and_paid_once"
READ = "tests/e2e/test_read_lines.py::test_each_line_tells_what_was_not_read"
PAGE_READ = "tests/e2e/test_read_lines.py::test_the_page_tells_it_below_the_bars"
EXCEL = f"{TABLES}::test_what_excel_saves_comes_back_with_the_answers_beside"
COMMAND_LINE = "tests/e2e/test_command_line.py"

NAMES = {"en": ("batches", "command line", "page"), "zh": ("批量任务", "命令行", "网页")}
CELLS: dict[str, tuple[Cell, Cell, Cell]] = {
    "keys and scopes": (
        "tests/control_plane/test_batch_scopes.py::test_files_and_batches_need_a_scope_of_their_own",
        "tests/wanneng/test_keys.py::test_a_file_goes_before_the_variable",
        f"{PAGE}::test_a_key_is_asked_for_used_and_kept_in_the_tab_alone",
    ),
    "cache isolated by tenant": (
        f"{WORKER}::test_each_line_is_asked_for_its_tenant_with_a_request_id_of_its_own",
        AS_CLASSIFY,
        AS_CLASSIFY,
    ),
    "one HTTP request counts as one request of the quota": (("one per line", "每行一次"), SIXTEEN, SIXTEEN),
    "pair quota": (QUOTA, QUOTA, PAGE_QUOTA),
    "token quota": (AS_CLASSIFY, AS_CLASSIFY, AS_CLASSIFY),
    "monthly budget": (
        "tests/control_plane/worker/test_gateway_client.py::test_a_used_up_budget_is_the_lines_answer",
        AS_CLASSIFY,
        AS_CLASSIFY,
    ),
    "a retry after `Retry-After` succeeds": (QUOTA, QUOTA, PAGE_QUOTA),
    "one deadline (`X-Request-Timeout`)": (
        ("60 s per line", "每行 60 秒"),
        ("`--wait-s`", "`--wait-s`"),
        ("1 hour", "一小时"),
    ),
    "a request ends when its client disconnects": (
        f"{WORKER}::test_a_cancelled_batch_ends_with_what_was_answered",
        f"{TABLES}::test_an_interrupted_run_goes_on_and_asks_for_nothing_twice",
        AS_CLASSIFY,
    ),
    "usage recorded, tokens reported": (QUOTA, QUOTA, PAGE_QUOTA),
    "`Cache-Control: no-cache`": (
        ("lines have no headers", "行没有请求头"),
        ("`--fresh`", "`--fresh`"),
        ("not offered", "没有此选项"),
    ),
    "`X-Request-Id`": (
        f"{WORKER}::test_each_line_is_asked_for_its_tenant_with_a_request_id_of_its_own",
        AS_CLASSIFY,
        AS_CLASSIFY,
    ),
    "errors in the format of the API": (
        "tests/gateway/api/test_errors_of_compatible_apis.py::test_an_error_before_the_body_has_the_shape_too",
        f"{COMMAND_LINE}::test_a_refusal_is_one_sentence",
        f"{PAGE}::test_an_error_says_in_words_what_is_missing",
    ),
    "truncation reported": (READ, READ, f"{PAGE}::test_tokens_are_counted_while_typing_and_a_cut_is_told"),
    "`truncate: false`": (READ, READ, ("shown while typing", "输入时提示")),
    "`nothing_to_read`": (READ, READ, PAGE_READ),
    "unknown tokens reported": (READ, READ, PAGE_READ),
    "model and version reported": (READ, READ, f"{PAGE}::test_bars_come_in_order_with_what_they_cost"),
    "limit on the body size": (
        "tests/control_plane/test_batch_api.py::test_a_file_without_end_is_refused_before_it_fills_the_disk",
        f"{COMMAND_LINE}::test_one_refused_line_loses_no_other",
        f"{PAGE_FILES}::test_refused_texts_lose_no_other",
    ),
    "limit on the number of texts": (
        f"{WORKER}::test_a_file_without_lines_or_with_too_many_is_no_batch",
        SIXTEEN,
        SIXTEEN,
    ),
    "compressed bodies, within the same limit": (
        ("compressed uploads are refused", "拒绝压缩的上传"),
        PLAIN,
        PLAIN,
    ),
    "byte order mark accepted": (
        "tests/control_plane/worker/test_lines.py::test_a_byte_order_mark_is_no_part_of_the_first_line",
        EXCEL,
        f"{PAGE_FILES}::test_what_excel_saves_has_its_cells_and_comes_back_with_the_answers",
    ),
}
"""By promise: batches, the command line, the page."""
