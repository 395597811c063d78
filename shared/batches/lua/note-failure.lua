-- note-failure: the holder failed to drive a batch. Counts how often in a row, without a line done in between.
-- KEYS  batch
-- ARGV  token
-- reply times in a row; 0 when another process has the batch
-- cost  O(1)
local holder, completed, failed, failures, failedAt = unpack(redis.call('HMGET', batch,
  'holder', 'completed', 'failed', 'failures', 'failedAt'))
if holder ~= token then
  return 0
end
local lines = tostring((tonumber(completed or '0')) + (tonumber(failed or '0')))
local times = failedAt == lines and tonumber(failures) + 1 or 1
redis.call('HSET', batch, 'failures', times, 'failedAt', lines)
return times
