"""The exports that are known by their own columns, read without any option. The rows are invented."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from deepthrift_pricing import Money, PriceBook
from deepthrift_pricing.errors import ConfigurationError
from deepthrift_pricing.reports import invoice_total, read_invoice
from deepthrift_pricing.reports.invoices._layouts import layouts

OCTOBER = {"since": datetime(2026, 10, 1, tzinfo=UTC), "until": datetime(2026, 11, 1, tzinfo=UTC)}

DEEPSEEK_COST = """\
user_id,utc_date,model,wallet_type,cost,currency
u,2026-09-30,deepseek-chat,Paid,5.0000000000000000,CNY
u,20261001,deepseek-chat,Paid,1.2500000000000000,CNY
u,2026-10-31,deepseek-reasoner,Granted,0.7500000000000000,CNY
u,2026-11-01,deepseek-chat,Paid,9.0000000000000000,CNY
"""
DEEPSEEK_NEWER = """\
user_id,start_time_iso,end_time_iso,model,wallet_type,cost,currency
u,2026-10-01T00:00:00+00:00,2026-10-02T00:00:00+00:00,deepseek-chat,Paid,1.25,CNY
u,2026-10-02T00:00:00+00:00,2026-10-03T00:00:00+00:00,deepseek-chat,Paid,0.75,CNY
"""
OPENROUTER = """\
generation_id,created_at,cost_total,cost_web_search,cost_cache,cost_file_processing,byok_usage_inference,tokens_prompt,\
tokens_completion,tokens_reasoning,tokens_cached,model_permaslug,provider_name,variant,cancelled,streamed,user,\
finish_reason_raw,finish_reason_normalized,generation_time_ms,time_to_first_token_ms,api_key_disabled,api_key_name,app_name
gen-1,2026-10-05 08:00:01.123,0.000012340000000000001,0.5,0,0,7,60,44,0,0,a/b,P,,false,true,,stop,stop,1,1,false,k,Total
gen-2,2026-10-05 08:00:02.001,1.7660000000000002e-05,0,0,0,0,60,63,0,0,a/b,P,,true,true,,stop,stop,1,1,false,k,Total
"""
OPENAI = """\
start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,line_item,project_id,organization_id
1790726400,1790812800,2026-09-30T00:00:00+00:00,2026-10-01T00:00:00+00:00,3,usd,,,org
1790812800,1790899200,2026-10-01T00:00:00+00:00,2026-10-02T00:00:00+00:00,0.895874000000000000000000000000,usd,,,org
1790899200,1790985600,2026-10-02T00:00:00+00:00,2026-10-03T00:00:00+00:00,,,,,
1790985600,1791072000,2026-10-03T00:00:00+00:00,2026-10-04T00:00:00+00:00,0.104126,usd,"gpt, input",,org
"""
OPENAI_OLDER = """\
timestamp,currency,name,cost,organization_id,project_id,project_name,cost_in_major,date
1790812800,usd,GPT-4o,150.0,org,p,P,1.50,2026-10-01
1790899200,usd,GPT-4o,50.0,org,p,P,0.50,2026-10-02
"""
FOCUS = """\
BilledCost,BillingAccountId,BillingCurrency,BillingPeriodStart,ChargeCategory,ChargePeriodStart,ChargePeriodEnd,\
ContractedCost,EffectiveCost,ListCost,ServiceName
10.5,a,USD,2026-10-01T00:00:00Z,Usage,2026-10-01T00:00:00Z,2026-10-02T00:00:00Z,11,12,13,Models
-0.5,a,USD,2026-10-01T00:00:00Z,Credit,2026-10-05T00:00:00Z,2026-10-06T00:00:00Z,0,0,0,Models
1,a,USD,2026-10-01T00:00:00Z,Tax,2026-10-31T23:00:00Z,2026-11-01T00:00:00Z,0,0,0,Models
100,a,USD,2026-11-01T00:00:00Z,Usage,2026-11-01T00:00:00Z,2026-11-02T00:00:00Z,0,0,0,Models
"""
AWS = """\
identity/LineItemId,bill/BillingPeriodStartDate,lineItem/UsageStartDate,lineItem/UsageEndDate,lineItem/LineItemType,\
lineItem/UnblendedCost,lineItem/BlendedCost,lineItem/CurrencyCode
1,2026-10-01T00:00:00Z,2026-10-01T00:00:00Z,2026-10-01T01:00:00Z,Usage,0.0123000000,9,USD
2,2026-10-01T00:00:00Z,2026-10-01T00:00:00Z,2026-11-01T00:00:00Z,Credit,-0.0023000000,9,USD
"""
AWS_2 = """\
bill_billing_period_start_date,line_item_usage_start_date,line_item_usage_end_date,line_item_line_item_type,\
line_item_unblended_cost,line_item_blended_cost,line_item_currency_code
2026-10-01 00:00:00.000,2026-10-01 00:00:00.000,2026-10-01 01:00:00.000,Usage,1.23E-2,9,USD
2026-10-01 00:00:00.000,2026-10-03 00:00:00.000,2026-10-03 01:00:00.000,Usage,0.0077,9,USD
"""
AZURE = """\
date,costInBillingCurrency,billingCurrency,costInPricingCurrency,costInUsd,productName
10/01/2026,1.5,USD,2,2,Models
10/31/2026,0.5,USD,2,2,Models
11/01/2026,7,USD,2,2,Models
"""
ANTHROPIC = """\
usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd,cost_type
2026-10-01,m,Default,k,message,0-200k,output,1.25,token
2026-10-02,m,Default,k,message,0-200k,input_no_cache,0.75,token
"""
KNOWN = [
    ("DeepSeek cost", DEEPSEEK_COST, Money.of("2", "CNY"), 2),
    ("DeepSeek cost", DEEPSEEK_NEWER, Money.of("2", "CNY"), 0),
    ("OpenRouter activity", OPENROUTER, Money.of("0.00003"), 0),
    ("OpenAI costs", OPENAI, Money.of("1"), 1),
    ("OpenAI costs, older", OPENAI_OLDER, Money.of("2"), 0),
    ("FOCUS", FOCUS, Money.of("11"), 1),
    ("AWS cost and usage report", AWS, Money.of("0.01"), 0),
    ("AWS cost and usage report 2.0", AWS_2, Money.of("0.02"), 0),
    ("Azure cost details", AZURE, Money.of("2"), 1),
    ("Anthropic costs", ANTHROPIC, Money.of("2"), 0),
]
DEEPSEEK_AMOUNT = """\
user_id,utc_date,model,api_key_name,api_key,type,price,amount
u,2026-10-01,deepseek-v4-flash,k,sk-***,output_tokens,0.000002,210500
u,2026-10-01,deepseek-v4-flash,k,sk-***,request_count,,640
u,2026-10-01,deepseek-v4-flash,k,sk-***,input_cache_hit_tokens,0.00000002,31250000
u,2026-11-01,deepseek-v4-flash,k,sk-***,input_cache_miss_tokens,0.000001,1804000
"""
OWN = PriceBook.flat(
    cache_miss="1", cache_hit="0.02", completion="2", currency="CNY", host="deepseek"
) + PriceBook.flat(cache_miss="0.14", cache_hit="0.003", completion="0.28", host="deepseek")


@pytest.mark.parametrize(("layout", "text", "total", "outside"), KNOWN)
def test_a_known_export_is_read_without_options(layout: str, text: str, total: Money, outside: int) -> None:
    found = read_invoice(text, **OCTOBER)
    assert (found.total, found.layout, found.outside) == (total, layout, outside)


@pytest.mark.parametrize(("layout", "text", "total", "outside"), KNOWN)
def test_a_known_export_in_another_currency_than_the_wanted_is_refused(
    layout: str, text: str, total: Money, outside: int
) -> None:
    other = "USD" if total.currency == "CNY" else "CNY"
    with pytest.raises(
        ConfigurationError, match=rf"line 2 is in {total.currency}|names several|line 2: .* no currency"
    ):
        invoice_total(text, currency=other)


@pytest.mark.parametrize(("layout", "text", "total", "outside"), KNOWN)
@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_a_known_export_that_was_saved_again_elsewhere_is_the_same(
    layout: str, text: str, total: Money, outside: int, delimiter: str
) -> None:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerows(csv.reader(io.StringIO(text)))
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        assert read_invoice(out.getvalue().encode(encoding), **OCTOBER).total == total


def test_float_noise_is_rounded_with_a_note() -> None:
    found = read_invoice(OPENROUTER)
    assert found.total == Money.of("0.00003")
    assert any("twelve decimals" in note for note in found.notes)


def test_another_column_of_a_known_export_can_be_named() -> None:
    assert invoice_total(AWS, column="lineItem/BlendedCost") == Money.of("18")
    assert invoice_total(FOCUS, column="effectivecost", **OCTOBER) == Money.of("12")


def test_a_file_in_euro_is_refused_whatever_is_said() -> None:
    text = FOCUS.replace("USD", "EUR")
    for options in ({}, {"column": "BilledCost", "currency": "USD"}):
        with pytest.raises(ConfigurationError, match="line 2: 'EUR' is no currency"):
            invoice_total(text, **options)


def test_token_counts_are_priced_by_the_prices_in_the_file() -> None:
    found = read_invoice(DEEPSEEK_AMOUNT, currency="CNY", **OCTOBER)
    assert found.total == Money.of("1.046", "CNY")  # 0.421 + 0.625
    assert (found.rows, found.outside, found.layout) == (2, 1, "DeepSeek amount")
    assert any("numbers of tokens" in note for note in found.notes)


def test_token_counts_are_never_added_up_as_money() -> None:
    for column in ("price", "type", "nothing"):
        with pytest.raises(ConfigurationError, match=r"numbers of tokens|no column"):
            invoice_total(DEEPSEEK_AMOUNT, currency="CNY", column=column)
    assert invoice_total(DEEPSEEK_AMOUNT, currency="CNY", column="amount") == Money.of("2.85", "CNY")
    with pytest.raises(ConfigurationError, match="numbers of tokens, not money"):
        invoice_total(OPENROUTER, column="tokens_prompt")
    with pytest.raises(ConfigurationError, match="'amount' beside a price"):
        invoice_total("date,amount,price\n2026-10-01,1000,2\n", currency="USD")


def test_the_prices_in_the_file_tell_its_currency() -> None:
    known = PriceBook.flat(
        cache_miss="1", cache_hit="0.02", completion="2", currency="CNY", host="deepseek", model="deepseek-v4-flash"
    )
    assert invoice_total(DEEPSEEK_AMOUNT, prices=known) == Money.of("2.85", "CNY")
    with pytest.raises(ConfigurationError, match="prices in CNY, and USD is wanted"):
        invoice_total(DEEPSEEK_AMOUNT, currency="USD", prices=known)
    with pytest.raises(ConfigurationError, match="names no currency"):
        invoice_total(DEEPSEEK_AMOUNT, prices=PriceBook.flat(cache_miss="9", completion="9", host="deepseek"))


def test_token_counts_without_prices_are_priced_by_the_book_or_refused() -> None:
    text = DEEPSEEK_AMOUNT.replace("0.000002,", ",").replace("0.00000002,", ",").replace("0.000001,", ",")
    assert invoice_total(text, currency="CNY", prices=OWN) == Money.of("2.85", "CNY")
    with pytest.raises(ConfigurationError, match=r"line 2 .* has no price then"):
        invoice_total(text, currency="CNY", prices=PriceBook.flat(cache_miss="1", completion="1", host="other"))
    with pytest.raises(ConfigurationError, match=r"line 2 .* say which is wanted"):
        invoice_total(text, prices=OWN)


USAGE = """\
start_time,end_time,start_time_iso,end_time_iso,project_id,num_model_requests,model,batch,service_tier,input_tokens,\
output_tokens,input_cached_tokens,input_audio_tokens
1790812800,1790899200,2026-10-01T00:00:00+00:00,2026-10-02T00:00:00+00:00,,3,gpt-x,False,default,1000000,100000,500000,0
1790899200,1790985600,2026-10-02T00:00:00+00:00,2026-10-03T00:00:00+00:00,,,,,,,,,
1790985600,1791072000,2026-10-03T00:00:00+00:00,2026-10-04T00:00:00+00:00,,1,gpt-x,False,,1000000,0,0,0
"""


def test_openais_usage_is_priced_by_the_book_or_refused() -> None:
    book = PriceBook.flat(cache_miss="1", cache_hit="0.1", completion="4", host="openai")
    found = read_invoice(USAGE, currency="USD", prices=book)
    assert found.total == Money.of("1.95")  # 0.5 + 0.05 + 0.4, and 1
    assert found.rows == 2
    with pytest.raises(ConfigurationError, match=r"line 2 .* has no price then"):
        invoice_total(USAGE, currency="USD")
    with pytest.raises(ConfigurationError, match="no model"):
        invoice_total(USAGE.replace("gpt-x", ""), currency="USD", prices=book)
    with pytest.raises(ConfigurationError, match="no price then"):
        invoice_total(USAGE.replace("False", "True"), currency="USD", prices=book)


def test_tokens_of_a_time_with_several_prices_are_refused() -> None:
    rows = PriceBook.flat(cache_miss="1", completion="4", host="openai").rows
    noon = datetime(2026, 10, 1, 12, tzinfo=UTC)
    changed = PriceBook(
        [
            rows[0].model_copy(update={"id": "a", "valid_to": noon}),
            rows[0].model_copy(update={"id": "b", "valid_from": noon, "completion": Decimal(5)}),
        ]
    )
    with pytest.raises(ConfigurationError, match=r"line 2 .* several prices"):
        invoice_total(USAGE, currency="USD", prices=changed)


def test_every_layout_is_told_from_the_others() -> None:
    known = layouts()
    for layout in known.layout:
        names = {*layout.needs, *layout.one_of}
        assert known.of(names) == layout, layout.name
