/**
 * The admin API: its address, who may use it, and who is told of what happens.
 */
import { flawOfWebhook, type WebhookTarget } from '../control/webhook/send.ts'
import { type Address, readAddress } from './clients.ts'
import { type Flags, orNull, readYesNo, SettingsError, type ValuesOf } from './flag.ts'

export interface AdminSettings {
  readonly admin: Address
  readonly adminToken: string | null
  /** Further tokens, one per line, in the format of `readTokens`. */
  readonly adminTokens: string
  /** A file of such lines, reloaded when it changes. */
  readonly adminTokenFile: string | null
  readonly requireIfMatch: boolean
  /** Files of the certificate and the key of the admin API; null where it is served without TLS. */
  readonly adminTls: { readonly cert: string; readonly key: string } | null
  /** Where ramps and deploys are told of; null for nowhere. */
  readonly webhook: WebhookTarget | null
}

export const ADMIN_FLAGS = {
  admin: { value: 'HOST:PORT', fallback: '127.0.0.1:8081', help: 'address of the admin API', read: readAddress },
  'admin-token': {
    value: 'TOKEN',
    fallback: '',
    help: 'bearer token for the admin API, with the name admin',
    read: orNull,
  },
  'admin-tokens': {
    value: 'LIST',
    fallback: '',
    help: 'named tokens for the admin API: NAME:read|write:SECRET, separated by commas',
    read: readTokenLines,
  },
  'admin-token-file': {
    value: 'FILE',
    fallback: '',
    help: 'file of named tokens, one per line: NAME read|write SECRET; reloaded when it changes',
    read: orNull,
  },
  'admin-tls-cert': {
    value: 'FILE',
    fallback: '',
    help: 'serve the admin API over TLS with this certificate and its chain (PEM); reloaded when it changes',
    read: orNull,
  },
  'admin-tls-key': {
    value: 'FILE',
    fallback: '',
    help: 'key of --admin-tls-cert (PEM); may be the same file if it holds both',
    read: orNull,
    needs: 'admin-tls-cert',
  },
  'require-if-match': {
    value: '',
    fallback: 'false',
    help: 'require If-Match on all writes to the admin API',
    read: readYesNo,
  },
  webhook: {
    value: 'URL',
    fallback: '',
    help: 'URL that is notified of ramps and deploys by POST: https://, or http:// on this machine',
    read: readWebhook,
  },
  'webhook-secret': {
    value: 'SECRET',
    fallback: '',
    help: 'key that signs the notifications to --webhook; prefer the environment variable',
    read: readWebhookSecret,
    needs: 'webhook',
  },
} as const satisfies Flags

/** @throws {SettingsError} for flags that need others */
export function adminSettings(values: ValuesOf<typeof ADMIN_FLAGS>): AdminSettings {
  return {
    admin: values.admin,
    adminToken: values['admin-token'],
    adminTokens: values['admin-tokens'],
    adminTokenFile: values['admin-token-file'],
    requireIfMatch: values['require-if-match'],
    adminTls: adminTlsOf(values['admin-tls-cert'], values['admin-tls-key']),
    webhook: webhookOf(values.webhook, values['webhook-secret']),
  }
}

/** @throws {SettingsError} if one of the two is missing */
function adminTlsOf(cert: string | null, key: string | null): AdminSettings['adminTls'] {
  if (cert !== null && key === null) throw new SettingsError('--admin-tls-cert: needs --admin-tls-key')
  return cert === null || key === null ? null : { cert, key }
}

/** Turns a list into lines. Errors omit the text, which is secret. */
function readTokenLines(text: string): string {
  return text.replaceAll(',', '\n')
}

function readWebhook(text: string): string | null {
  const flaw = text === '' ? null : flawOfWebhook(text)
  if (flaw !== null) throw new SettingsError(flaw)
  return orNull(text)
}

/** Shortest secret that signs webhooks. */
const MIN_WEBHOOK_SECRET = 16

function readWebhookSecret(text: string): string | null {
  if (text !== '' && text.length < MIN_WEBHOOK_SECRET)
    throw new SettingsError(`too short: expected ${MIN_WEBHOOK_SECRET} characters or more`)
  return orNull(text)
}

/** @throws {SettingsError} if one of the two is missing */
function webhookOf(url: string | null, secret: string | null): WebhookTarget | null {
  if (url !== null && secret === null)
    throw new SettingsError('--webhook: needs --webhook-secret, which signs what is sent')
  return url === null || secret === null ? null : { url, secret }
}
