-- broken: fails after it has looked at its argument.
redis.call('SET', first, text)
error('broken on purpose')
