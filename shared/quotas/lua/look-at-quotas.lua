-- look-at-quotas: tells how far quotas are used. Charges nothing.
-- KEYS  quota
-- ARGV  quotaText
-- reply {used, milliseconds until all of it is free again, …}
-- cost  O(quotas)
return loadQuotas().look(quotaText)
