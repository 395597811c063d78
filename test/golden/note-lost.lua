#!lua flags=allow-oom
local record = KEYS[1]
local attempt = ARGV[1]
local inputTokens = ARGV[2]
local outputTokens = ARGV[3]
local cachedTokens = ARGV[4]
local nanoUsd = ARGV[5]
local restFrom = 6
-- note-lost: what an attempt is known to have used whose worker was lost. The end of the job charges it as wasted.
-- KEYS  record
-- ARGV  attempt (its number), inputTokens, outputTokens, cachedTokens, nanoUsd ('' = no known price)
-- reply 'noted' | 'known' (also when this is sent again) | 'ended'
-- cost  O(lost attempts)
local state, lost = unpack(redis.call('HMGET', record, 'state', 'lost'))
if state ~= 'queued' and state ~= 'running' then
  return 'ended'
end
if string.find('\n' .. (lost or ''), '\n' .. attempt .. ' ', 1, true) then
  return 'known'
end
local row = attempt .. ' ' .. inputTokens .. ' ' .. outputTokens .. ' ' .. cachedTokens .. ' ' .. nanoUsd
redis.call('HSET', record, 'lost', lost and (lost .. '\n' .. row) or row)
return 'noted'
