"""Harmonisation profiles: what a provider calls things, what we call them, and the way there and back.

A profile is data (YAML beside this file, or an operator's own), typed and checked when it is loaded. The modules here
are pure but for ``load``: they translate queries into native words and answers into harmonised ones, and fetch nothing.
"""
