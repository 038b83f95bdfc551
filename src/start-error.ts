/**
 * The proxy can't start, for a reason that the operator can fix. The message is printed.
 */
export class StartError extends Error {}
