import ipaddr from 'ipaddr.js';
import type { Settings } from '#config/schema.ts';

/** Which receivers webhooks may go to. */
export type UrlPolicy = Pick<Settings['webhooks'], 'allow_private' | 'ports'>;

const urlMaxLength = 2_000;
/** Addresses that are public by their range, and yet answer inside a cloud only: Azure's platform. */
const platformAddresses = new Set(['168.63.129.16']);
const globalV6 = ipaddr.IPv6.parse('2000::');
const globalV6Bits = 3;
const defaultPorts: Record<string, number> = { 'https:': 443, 'http:': 80 };

/**
 * Whether an address is one of the public internet. Everything else is refused: private, loopback, link-local,
 * shared, reserved, and every IPv6 form that stands for an IPv4 address.
 */
export function isPublicAddress(address: string): boolean {
  if (!ipaddr.isValid(address) || platformAddresses.has(address)) return false;
  const parsed = ipaddr.parse(address);
  if (parsed.range() !== 'unicast') return false;
  return parsed.kind() === 'ipv4' || (parsed as ipaddr.IPv6).match(globalV6, globalV6Bits);
}

/** The address a URL names directly, without the brackets of IPv6; undefined for a name. */
export function literalAddress(hostname: string): string | undefined {
  const bare = hostname.startsWith('[') ? hostname.slice(1, -1) : hostname;
  return ipaddr.isValid(bare) ? bare : undefined;
}

/**
 * Why a webhook URL is refused; undefined when it may be used. Names are resolved, and their addresses judged, only
 * when a connection is made.
 */
export function refusalOf(text: string, policy: UrlPolicy): string | undefined {
  if (text.length > urlMaxLength) return `it is longer than ${urlMaxLength} characters`;
  if (!URL.canParse(text)) return 'it is not a URL';
  const url = new URL(text);
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return 'use https';
  if (url.username !== '' || url.password !== '') return 'it must not hold a user or a password';
  if (url.hash !== '') return 'it must not hold a fragment';
  if (policy.allow_private) return undefined;
  if (url.protocol !== 'https:') return 'use https';
  if (!policy.ports.includes(Number(url.port || defaultPorts[url.protocol])))
    return `use one of the ports ${policy.ports.join(', ')}`;
  const address = literalAddress(url.hostname);
  if (address !== undefined && !isPublicAddress(address)) return 'its address is not public';
  if (/(^|\.)localhost\.?$/.test(url.hostname)) return 'its address is not public';
  return undefined;
}
