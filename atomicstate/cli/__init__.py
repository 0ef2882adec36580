"""The command line: parse, call the engine, print, map errors; nothing else prints or exits."""
