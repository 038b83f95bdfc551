/**
 * The proxy can't start, and its operator can mend it. The message is what they are told.
 */
export class StartError extends Error {}
