-- cache-put: keeps one answer for its time, within the bounds of its tenant.
-- KEYS  entries (prefix, completed by the member), index, sizes, total
-- ARGV  member, head (JSON), body ('' = it lies in a blob), blob ('' = it lies here), bytes, ttlMs, entriesMax, bytesMax,
--       evictMax (most answers dropped for this one)
-- reply {blob, …} (names that nothing here names any more)
-- cost  O(log answers of the tenant + answers dropped)
local blobs = {}
local function drop(gone)
  local size, name = string.match(redis.call('HGET', sizes, gone) or '', '^(%d+) (.*)$')
  if not size then
    return redis.call('ZREM', index, gone)
  end
  redis.call('HDEL', sizes, gone)
  redis.call('ZREM', index, gone)
  redis.call('DECRBY', total, size)
  redis.call('UNLINK', entries .. gone)
  if name ~= '' and name ~= blob then
    blobs[#blobs + 1] = name
  end
end
drop(member)
local untilMs = nowMs + tonumber(ttlMs)
redis.call('HSET', entries .. member, 'head', head, 'body', body, 'createdMs', nowMs)
redis.call('PEXPIRE', entries .. member, ttlMs)
redis.call('ZADD', index, untilMs, member)
redis.call('HSET', sizes, member, bytes .. ' ' .. blob)
local held = redis.call('INCRBY', total, bytes)
-- What has expired takes no room; what would expire first makes room.
for _, gone in ipairs(redis.call('ZRANGE', index, '-inf', '(' .. nowMs, 'BYSCORE', 'LIMIT', 0, evictMax)) do
  drop(gone)
end
for _ = 1, tonumber(evictMax) do
  held = tonumber(redis.call('GET', total))
  if held <= tonumber(bytesMax) and redis.call('ZCARD', index) <= tonumber(entriesMax) then
    break
  end
  drop(redis.call('ZRANGE', index, 0, 0)[1])
end
-- The book ends with the last answer in it.
for _, key in ipairs({ index, sizes, total }) do
  redis.call('PEXPIRE', key, math.max(redis.call('PTTL', key), tonumber(ttlMs)))
end
return blobs
