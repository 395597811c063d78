-- announce: tells one ingress that jobs have ended. Hints: the records hold the truth.
-- KEYS  replies
-- ARGV  ttlMs, listMax; rest = messages
-- reply 1
-- cost  O(messages)
local over = redis.call('RPUSH', replies, unpack(ARGV, restFrom)) - tonumber(listMax)
if over > 0 then
  redis.call('LPOP', replies, over)
end
redis.call('PEXPIRE', replies, ttlMs)
return 1
