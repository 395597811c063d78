/**
 * How secrets stand in the store. The seam for encryption at rest: `context` names the tenant and the record, so that
 * a sealed secret opens nowhere else.
 */
export interface SecretBox {
  seal(secret: string, context: string): string;
  open(sealed: string, context: string): string;
}

/** Secrets as they are. */
export const plainSecrets: SecretBox = { seal: (secret) => secret, open: (sealed) => sealed };
