return '{}'
