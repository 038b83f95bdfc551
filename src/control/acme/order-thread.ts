/**
 * A thread that orders one certificate from an authority (RFC 8555) with acme-client, to keep its memory, computation and exceptions
 * away from the main thread.
 */
import { createRequire } from 'node:module'
import { parentPort, workerData } from 'node:worker_threads'
import type { Client, Order } from 'acme-client'
import type { ChallengeKind } from '../../rules/acme/names.ts'
import { UNPRINTABLE } from '../../rules/values/unprintable.ts'
import type { AcmeAccount, Challenge, FromOrder, OrderFailure, OrderRequest } from './order.ts'
import { AcmeTransport, type AuthorityAnswer } from './transport.ts'

type Acme = typeof import('acme-client')

/** Polling for a validation or a certificate: after 0.25 s, 0.5 s and so on up to every 10 s. */
const POLLING = { backoffAttempts: 22, backoffMin: 250, backoffMax: 10_000 }

const PROBLEMS = 'urn:ietf:params:acme:error:'

const port = parentPort
if (port !== null) {
  const transport = new AcmeTransport()
  ordered(workerData as OrderRequest, transport).then(
    (pair) => tell({ kind: 'issued', ...pair }),
    (error: Error) => tell({ kind: 'failed', failure: failureOf(error, transport) }),
  )
}

function tell(message: FromOrder): void {
  port?.postMessage(message)
}

/** Posts a message, and waits until it has been handled. */
async function done(message: FromOrder): Promise<void> {
  const acted = new Promise<void>((resolve) => port?.once('message', () => resolve()))
  tell(message)
  await acted
}

type Stage = 'order' | 'account' | 'authorization' | 'certificate' | ChallengeKind

/** An error with the stage in which it occurred. */
class StageError extends Error {
  readonly stage: Stage

  constructor(stage: Stage, cause: unknown) {
    super(cause instanceof StageError ? cause.message : `${stage}: ${(cause as Error).message}`, { cause })
    this.stage = cause instanceof StageError ? cause.stage : stage
  }
}

async function during<T>(stage: Stage, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    throw new StageError(stage, error)
  }
}

async function ordered(request: OrderRequest, transport: AcmeTransport): Promise<{ cert: string; key: string }> {
  // CommonJS, with several megabytes of dependencies.
  const acme = createRequire(import.meta.url)('acme-client') as Acme
  Object.assign(acme.axios.defaults, { adapter: transport.adapter })
  // No retries of single requests: Acme retries the whole order, with its own backoff.
  Object.assign(acme.axios.defaults, { acmeSettings: { retryMaxAttempts: 0 } })
  const { client, order } = await during('order', newOrder(acme, request, transport))
  if (order.authorizations.length !== 1) throw new Error(`${order.authorizations.length} authorizations for one name`)
  await authorized(acme, client, order, request)
  const key = await acme.crypto.createPrivateEcdsaKey('P-256')
  const [, csr] = await acme.crypto.createCsr({ altNames: [request.name] }, key)
  const finalized = await during('certificate', client.finalizeOrder(order, csr))
  const cert = await during('certificate', client.getCertificate(finalized))
  if (typeof cert !== 'string') throw new Error('certificate: the authority did not send a certificate')
  return { cert, key: key.toString() }
}

/** Orders with the stored account. If the authority doesn't know or accept it, creates a new one, once. */
async function newOrder(
  acme: Acme,
  request: OrderRequest,
  transport: AcmeTransport,
): Promise<{ client: Client; order: Order }> {
  let { account } = request
  for (let isSecond = false; ; isSecond = true) {
    const client = await clientOf(acme, request, account)
    try {
      const order = await client.createOrder({ identifiers: [{ type: 'dns', value: request.name }] })
      if (!Array.isArray(order.authorizations)) throw new Error('the authority did not send an order')
      return { client, order }
    } catch (error) {
      const type = transport.last?.type
      const isUnknown = type === `${PROBLEMS}accountDoesNotExist`
      // Deactivated, or revoked by the authority: its key is never accepted again.
      const isRefused = type === `${PROBLEMS}unauthorized`
      if (isSecond || account === null || !(isUnknown || isRefused)) throw error
      account = isUnknown ? { ...account, url: null } : null
    }
  }
}

async function clientOf(acme: Acme, request: OrderRequest, account: AcmeAccount | null): Promise<Client> {
  const { directory: directoryUrl, eab, email } = request
  const key = account?.key ?? (await acme.crypto.createPrivateEcdsaKey('P-256')).toString()
  const client = new acme.Client({
    directoryUrl,
    accountKey: key,
    ...(account?.url && { accountUrl: account.url }),
    ...(eab !== null && { externalAccountBinding: { kid: eab.kid, hmacKey: eab.key } }),
    ...POLLING,
  })
  if (account?.url) return client
  const contact = email === null ? {} : { contact: [`mailto:${email}`] }
  await during('account', client.createAccount({ termsOfServiceAgreed: true, ...contact }))
  await done({ kind: 'account', account: { key, url: client.getAccountUrl() } })
  return client
}

async function authorized(acme: Acme, client: Client, order: Order, request: OrderRequest): Promise<void> {
  const [authorization] = await during('authorization', client.getAuthorizations(order))
  if (authorization === undefined) throw new Error('no authorization')
  if (authorization.status === 'valid') return
  if (authorization.identifier?.value?.toLowerCase() !== request.name) {
    throw new Error(`authorization: it is for ${authorization.identifier?.value}, not for ${request.name}`)
  }
  const offered = Array.isArray(authorization.challenges) ? authorization.challenges : []
  const challenge = request.challenges
    .map((kind) => offered.find(({ type }) => type === kind))
    .find((one) => one !== undefined)
  if (challenge === undefined) {
    const types = offered.map(({ type }) => type).join(', ')
    throw new Error(`authorization: the authority offers ${types || 'no challenges'}, none of which can be used here`)
  }
  const kind = challenge.type as ChallengeKind
  const { token } = challenge
  // RFC 8555 section 8.3. The token becomes part of a path.
  if (typeof token !== 'string' || !/^[A-Za-z0-9_-]{16,256}$/.test(token))
    throw new Error('authorization: invalid token')
  const answer = await client.getChallengeKeyAuthorization(challenge)
  const told: Challenge =
    kind === 'http-01' ? { kind, token, answer } : { kind, ...(await alpnPair(acme, request.name, answer)) }
  await done({ kind: 'challenge', challenge: told })
  await during(kind, client.completeChallenge(challenge))
  await during(kind, client.waitForValidStatus(challenge))
}

/** The certificate that answers tls-alpn-01 (RFC 8737 section 3). */
async function alpnPair(acme: Acme, name: string, answer: string): Promise<{ cert: string; key: string }> {
  const authorization = { identifier: { type: 'dns', value: name } }
  const made = await acme.crypto.createAlpnCertificate(authorization as never, answer)
  return { key: made[0].toString(), cert: made[1].toString() }
}

function failureOf(error: Error, { last, unreachable }: AcmeTransport): OrderFailure {
  const message = printable(error.message)
  if (unreachable !== null) return { kind: 'unreachable', message, retryAfterMs: null }
  const isChallenge = error instanceof StageError && (error.stage === 'http-01' || error.stage === 'tls-alpn-01')
  // Anything but a clear refusal counts as unreachable, and is retried.
  const kind = isChallenge || isRefusal(last) ? 'refused' : 'unreachable'
  return { kind, message, retryAfterMs: last?.retryAfterMs ?? null }
}

function isRefusal(last: AuthorityAnswer | null): boolean {
  return last !== null && last.status >= 400 && last.status < 500
}

/** Text from the authority, made safe for the log. */
function printable(message: string): string {
  return message.replace(/\s+/g, ' ').replace(UNPRINTABLE, '').slice(0, 500) || 'no reason given'
}
