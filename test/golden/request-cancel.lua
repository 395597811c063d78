#!lua flags=allow-oom
local record = KEYS[1]
local restFrom = 1
-- request-cancel: asks the worker that runs a job to stop.
-- KEYS  record
-- ARGV
-- reply {'requested', owner} | {'ended', state} | {'gone'} | {'queued'}
-- cost  O(1)
local state, owner = unpack(redis.call('HMGET', record, 'state', 'owner'))
if not state then
  return {'gone'}
end
if state == 'queued' then
  return {'queued'}
end
if state ~= 'running' then
  return {'ended', state}
end
redis.call('HSET', record, 'cancelRequested', 1)
return {'requested', owner}
