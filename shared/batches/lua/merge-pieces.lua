-- merge-pieces: puts one piece in the place of the last ones of a batch, whose bytes it holds in the same order.
-- KEYS  batch, pieces (list of `name bytes`)
-- ARGV  token, piece, bytes; rest = the entries it replaces
-- reply 'merged' | 'other' (the list has changed; nothing was done)
-- cost  O(pieces replaced)
local merged = piece .. ' ' .. bytes
if redis.call('LINDEX', pieces, -1) == merged then
  return 'merged'
end
local count = #ARGV - restFrom + 1
local last = redis.call('LRANGE', pieces, -count, -1)
if redis.call('HGET', batch, 'holder') ~= token or #last ~= count then
  return 'other'
end
for index = 1, count do
  if last[index] ~= ARGV[restFrom + index - 1] then
    return 'other'
  end
end
redis.call('LTRIM', pieces, 0, -count - 1)
redis.call('RPUSH', pieces, merged)
return 'merged'
