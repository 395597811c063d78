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
