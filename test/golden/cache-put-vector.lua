#!lua
local order = KEYS[1]
local vectors = KEYS[2]
local groups = KEYS[3]
local suppliedNowMs = ARGV[1]
local member = ARGV[2]
local vector = ARGV[3]
local ttlMs = ARGV[4]
local entriesMax = ARGV[5]
local evictMax = ARGV[6]
local group = ARGV[7]
local restFrom = 8
local nowMs = tonumber(suppliedNowMs)
if not nowMs then
  local time = redis.call('TIME')
  nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
end
-- cache-put-vector: remembers what a question is about, for as long as its answer is kept.
-- KEYS  order, vectors, groups
-- ARGV  member, vector (bytes), ttlMs, entriesMax, evictMax (most questions dropped for this one), group (its name)
-- reply number of questions of the group
-- cost  O(log questions + questions dropped)
-- Numbers only grow, also when the group was forgotten and begins anew: whoever has read some reads on from there.
local last = redis.call('ZRANGE', order, 0, 0, 'REV', 'WITHSCORES')[2]
redis.call('ZADD', order, math.max(nowMs, tonumber(last or '0') + 1), member)
redis.call('HSET', vectors, member, vector)
for _ = 1, tonumber(evictMax) do
  if redis.call('ZCARD', order) <= tonumber(entriesMax) then
    break
  end
  local gone = redis.call('ZPOPMIN', order)[1]
  redis.call('HDEL', vectors, gone)
end
redis.call('SADD', groups, group)
for _, key in ipairs({ order, vectors, groups }) do
  redis.call('PEXPIRE', key, math.max(redis.call('PTTL', key), tonumber(ttlMs)))
end
return redis.call('ZCARD', order)
