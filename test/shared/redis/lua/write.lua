-- write: stores its argument.
redis.call('SET', first, text)
return 'OK'
