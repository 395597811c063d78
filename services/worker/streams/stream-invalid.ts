/** Why a stream cannot go on, although its connection could. */
export class StreamInvalid extends Error {}
