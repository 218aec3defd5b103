"""The programs and drives that write to boards, one module each."""
