"""Behind the command: nothing here is imported by `import ferroconv`."""
