"""Reads rows out of the kinds of files in which people have them: JSON, CSV, parquet and others.

    from role_lens.rows.reading import read_rows

To add a kind of file is to add a function that reads it to the table in `reading`.
"""
