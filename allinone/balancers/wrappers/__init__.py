"""Methods around another one."""
