-- echo: returns what it was given.
return {first, second, text, #ARGV - restFrom + 1, nowMs}
