-- cancel-batch: a caller no longer wants a batch. Whoever drives it sees it with its next renewal.
-- KEYS  batch
-- ARGV
-- reply {'cancelling', ''} | {'ended', status} (it is over, or as good as over) | {'gone', ''}
-- cost  O(1)
local status = redis.call('HGET', batch, 'status')
if not status then
  return {'gone', ''}
end
if status == 'cancelling' then
  return {'cancelling', ''}
end
if status ~= 'validating' and status ~= 'in_progress' then
  return {'ended', status}
end
redis.call('HSET', batch, 'status', 'cancelling', 'cancellingMs', nowMs)
return {'cancelling', ''}
