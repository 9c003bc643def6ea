import pytest

from activityctl.domain.chain.hexadecimal import address
from activityctl.domain.chain.rpc_url import read_urls, shown_hosts


def test_urls_are_separated_by_white_space_or_commas():
    urls = read_urls("https://a.example/v3/t,\n https://b.example\thttp://127.0.0.1:8545",
                     allow_http=False)  # fmt: skip
    assert urls == ("https://a.example/v3/t", "https://b.example", "http://127.0.0.1:8545")
    assert shown_hosts((*urls[:1], "https://u:p@a.example/x")) == ("a.example (1)", "a.example (2)")


@pytest.mark.parametrize("text", ["", " , ", "ftp://a.example", "https://", "http://a.example"])
def test_what_is_no_safe_url_is_refused_without_quoting_it(text):
    with pytest.raises(ValueError, match="URL") as caught:
        read_urls(text, allow_http=False)
    assert "example" not in str(caught.value)


def test_a_mistyped_checksum_of_an_address_is_refused():
    right = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"  # from EIP-55
    assert address(right) == address(right.lower()) == right.lower()
    with pytest.raises(ValueError, match="wrong checksum"):
        address(right.replace("aAeb", "aaeb"))
