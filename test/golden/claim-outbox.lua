#!lua
local outbox = KEYS[1]
local suppliedNowMs = ARGV[1]
local batch = ARGV[2]
local claimMs = ARGV[3]
local restFrom = 4
local nowMs = tonumber(suppliedNowMs)
if not nowMs then
  local time = redis.call('TIME')
  nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
end
-- claim-outbox: the entries that are due, held back from other processes for a while.
-- KEYS  outbox
-- ARGV  batch, claimMs
-- reply {nowMs, entry, …}
-- cost  O(log entries + batch)
local due = redis.call('ZRANGE', outbox, '-inf', nowMs, 'BYSCORE', 'LIMIT', 0, batch)
for _, entry in ipairs(due) do
  redis.call('ZADD', outbox, nowMs + tonumber(claimMs), entry)
end
table.insert(due, 1, nowMs)
return due
