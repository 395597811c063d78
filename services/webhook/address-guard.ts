import { lookup as dnsLookup, type LookupAddress, type LookupOptions } from 'node:dns';
import type { LookupFunction } from 'node:net';
import { isPublicAddress } from '#shared/deliveries/url-policy.ts';

/** A name that must not be connected to. */
export class AddressRefused extends Error {
  readonly code = 'ADDRESS_REFUSED';
}

/** Resolves a name to all its addresses; tests hand in their own. */
export type Resolve = (
  hostname: string,
  done: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

export const systemResolve: Resolve = (hostname, done) =>
  dnsLookup(hostname, { all: true, verbatim: true }, done);

/**
 * The look-up of a connector that goes to the public internet only. It is the only resolution there is: the socket is
 * opened to an address that was judged here, so a name that changes its answer afterwards (DNS rebinding) gains
 * nothing. One address that is not public refuses the name.
 */
export function guardedLookup(resolve: Resolve): LookupFunction {
  return (hostname, options: LookupOptions, callback) => {
    resolve(hostname, (error, addresses) => {
      if (error) return callback(error, '', 0);
      if (addresses.length === 0 || !addresses.every(({ address }) => isPublicAddress(address)))
        return callback(new AddressRefused(`${hostname} is not public`), '', 0);
      if (options.all) return callback(null, addresses);
      const [first] = addresses;
      callback(null, first!.address, first!.family);
    });
  };
}
