/**
 * Orders one certificate, on a thread of its own.
 */
import { Worker } from 'node:worker_threads'
import type { ChallengeKind } from '../../rules/acme/names.ts'
import type { AcmeFailureKind } from '../../rules/acme/schedule.ts'

/** An account at an authority. */
export interface AcmeAccount {
  /** PEM. */
  readonly key: string
  /** Null if the authority has to be asked for it. */
  readonly url: string | null
}

/** An order. Plain data, passed to the thread. */
export interface OrderRequest {
  readonly name: string
  readonly directory: string
  readonly email: string | null
  /** External account binding (RFC 8555 section 7.3.4). */
  readonly eab: { readonly kid: string; readonly key: string } | null
  readonly account: AcmeAccount | null
  /** By preference; the first one that the authority offers is used. */
  readonly challenges: readonly ChallengeKind[]
}

/** Proof of control over the name: a text at a path, or a certificate for an ALPN protocol. */
export type Challenge =
  | { readonly kind: 'http-01'; readonly token: string; readonly answer: string }
  | { readonly kind: 'tls-alpn-01'; readonly cert: string; readonly key: string }

/** Why there is no certificate. */
export interface OrderFailure {
  readonly kind: AcmeFailureKind
  readonly message: string
  readonly retryAfterMs: number | null
}

/** Messages from the thread. After `account` and `challenge` it waits for a reply. */
export type FromOrder =
  | { readonly kind: 'account'; readonly account: AcmeAccount }
  | { readonly kind: 'challenge'; readonly challenge: Challenge }
  | { readonly kind: 'issued'; readonly cert: string; readonly key: string }
  | { readonly kind: 'failed'; readonly failure: OrderFailure }

/** Callbacks during an order. */
export interface OrderEvents {
  /** Stores a new account. */
  onAccount(account: AcmeAccount): Promise<void>
  /** Resolves when every process answers the challenge. */
  onChallenge(challenge: Challenge): Promise<void>
}

/** PEM texts, or why the order failed. */
export type OrderResult = { readonly cert: string; readonly key: string } | { readonly failure: OrderFailure }

/** Timeout of an order. */
const PATIENCE_MS = 10 * 60 * 1000

/** The libraries need some 40 MB. */
const MAX_HEAP_MB = 256

/**
 * Orders a certificate. Never rejects.
 * @param signal aborts the order
 */
export function orderCertificate(
  request: OrderRequest,
  events: OrderEvents,
  signal: AbortSignal,
): Promise<OrderResult> {
  return new Promise((resolve) => {
    // In dist/ the thread's file is JavaScript.
    const extension = import.meta.url.slice(import.meta.url.lastIndexOf('.'))
    const worker = new Worker(new URL(`./order-thread${extension}`, import.meta.url), {
      workerData: request,
      resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB },
    })
    // The process may exit during an order.
    worker.unref()
    const failed = (message: string): void => end({ failure: { kind: 'unreachable', message, retryAfterMs: null } })
    const patience = setTimeout(() => failed(`given up after ${PATIENCE_MS / 60_000} min`), PATIENCE_MS).unref()
    const onAbort = (): void => failed('given up')
    const end = (result: OrderResult): void => {
      clearTimeout(patience)
      signal.removeEventListener('abort', onAbort)
      void worker.terminate()
      resolve(result)
    }
    signal.addEventListener('abort', onAbort)
    worker.on('error', (error: Error) => failed(`internal error: ${error.message}`))
    worker.on('exit', () => failed('internal error: the thread has ended'))
    worker.on('message', (message: FromOrder) => {
      const goOn = (): void => worker.postMessage('done')
      switch (message.kind) {
        case 'account':
          events.onAccount(message.account).then(goOn, ({ message: why }: Error) => failed(why))
          break
        case 'challenge':
          events.onChallenge(message.challenge).then(goOn, ({ message: why }: Error) => failed(why))
          break
        case 'issued':
          end({ cert: message.cert, key: message.key })
          break
        case 'failed':
          end({ failure: message.failure })
      }
    })
  })
}
