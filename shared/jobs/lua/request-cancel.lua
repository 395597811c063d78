-- request-cancel: asks the worker that runs a job to stop.
-- KEYS  record, together (prefix, completed by the record)
-- ARGV  jobId
-- reply {'requested', owner} | {'ended', state} | {'gone'} | {'queued'}
--       | {'shared'} (callers wait for it that did not make it)
-- cost  O(1)
local state, owner, shared = unpack(redis.call('HMGET', record, 'state', 'owner', 'together'))
if not state then
  return {'gone'}
end
if shared and (state == 'queued' or state == 'running') then
  local place = together .. shared
  if redis.call('HGET', place, 'leader') == jobId then
    if redis.call('HLEN', place) - 1 > redis.call('HEXISTS', place, 'reader ' .. jobId) then
      return {'shared'}
    end
    -- Nobody joins what is being cancelled.
    redis.call('DEL', place)
  end
end
if state == 'queued' then
  return {'queued'}
end
if state ~= 'running' then
  return {'ended', state}
end
redis.call('HSET', record, 'cancelRequested', 1)
return {'requested', owner}
