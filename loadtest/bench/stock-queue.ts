/** What the two processes of the stock broker share. */
export const stockQueue = 'calls';

export interface StockCall {
  authorization: string;
  body: unknown;
}

export interface StockAnswer {
  status: number;
  contentType: string;
  body: string;
}

export function stockConnection(port: string | undefined) {
  return { host: '127.0.0.1', port: Number(port) };
}
