#!lua flags=allow-oom
local batch = KEYS[1]
local suppliedNowMs = ARGV[1]
local token = ARGV[2]
local leaseMs = ARGV[3]
local restFrom = 4
local nowMs = tonumber(suppliedNowMs)
if not nowMs then
  local time = redis.call('TIME')
  nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
end
-- claim-batch: takes the lease under which one process drives a batch.
-- KEYS  batch
-- ARGV  token (of the process, for this claim), leaseMs
-- reply {'claimed', nowMs} | {'busy', remainingMs} | {'over', 0} (it has ended) | {'gone', 0}
-- cost  O(1)
local status, holder, leaseUntilMs = unpack(redis.call('HMGET', batch, 'status', 'holder', 'leaseUntilMs'))
if not status then
  return {'gone', 0}
end
if status ~= 'validating' and status ~= 'in_progress' and status ~= 'finalizing' and status ~= 'cancelling' then
  return {'over', 0}
end
local untilMs = tonumber(leaseUntilMs or '0')
if holder and holder ~= token and untilMs > nowMs then
  return {'busy', untilMs - nowMs}
end
redis.call('HSET', batch, 'holder', token, 'leaseUntilMs', nowMs + tonumber(leaseMs))
return {'claimed', nowMs}
