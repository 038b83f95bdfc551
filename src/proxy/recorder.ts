/**
 * What hears the response of an upstream beside the client: the cache's bookkeeping, a comparison.
 */
import type { ResponseHead } from '../wire/response-head.ts'

/** Receives a copy of the response. */
export interface Recorder {
  /** @param fields headers as sent to the client */
  head(head: ResponseHead, fields: readonly string[]): void
  /** @param piece its memory is used again once the client has it: what is kept is copied */
  body(piece: Buffer): void
  end(): void
  /** The response was aborted or replaced: discard it. */
  abandon(): void
}
