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
