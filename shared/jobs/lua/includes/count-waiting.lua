-- One job more or less waits: of its tenant, and of its key if that has a bound of its own (`boundKey`, or '').
local function countWaiting(by, boundKey)
  redis.call('INCRBY', depth, by)
  if boundKey and boundKey ~= '' and redis.call('HINCRBY', quota .. 'open', 'depth:' .. boundKey, by) <= 0 then
    redis.call('HDEL', quota .. 'open', 'depth:' .. boundKey)
  end
end
