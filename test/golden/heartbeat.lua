#!lua flags=allow-oom
local record = KEYS[1]
local suppliedNowMs = ARGV[1]
local token = ARGV[2]
local leaseMs = ARGV[3]
local restFrom = 4
local nowMs = tonumber(suppliedNowMs)
if not nowMs then
  local time = redis.call('TIME')
  nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
end
-- heartbeat: the owner renews its lease.
-- KEYS  record
-- ARGV  token, leaseMs
-- reply 'held' | 'cancel' (held, and somebody asked to cancel) | 'lost' (another owner, or the job has ended)
-- cost  O(1)
local state, heldToken, cancelRequested = unpack(redis.call('HMGET', record, 'state', 'token', 'cancelRequested'))
if state ~= 'running' or heldToken ~= token then
  return 'lost'
end
redis.call('HSET', record, 'leaseUntilMs', nowMs + tonumber(leaseMs))
return cancelRequested and 'cancel' or 'held'
