import { availableParallelism } from 'node:os'
import { expect, test } from 'vitest'
import { readSettings, SettingsError, settingsHelp } from '../../src/settings/settings.ts'

test('what is not said has a default', () => {
  expect(readSettings([], {})).toMatchObject({
    table: 'routes.yaml',
    listen: { host: '0.0.0.0', port: 8080 },
    admin: { host: '127.0.0.1', port: 8081 },
    redis: null,
    workers: availableParallelism(),
    trustedProxies: [],
    clientScheme: null,
    adminToken: null,
    accessLog: 'json',
    memoryCacheBytes: 64 * 1024 * 1024,
    drainTimeoutMs: 30_000,
  })
})

test('a socket may be handed over', () => {
  expect(readSettings(['--listen', 'systemd'], { LISTEN_FDS: '1' }).listen).toMatchObject({ fd: 3 })
})

test('a flag wins over its environment variable, and that over the default', () => {
  const env = { BANYAN_DRAIN_TIMEOUT: '5s', BANYAN_LISTEN: '127.0.0.1:1', BANYAN_TRUSTED_PROXIES: '10.0.0.0/8, ::1' }
  const settings = readSettings(['--listen', '[::1]:9000'], env)
  expect(settings.listen).toEqual({ host: '::1', port: 9000 })
  expect(settings.drainTimeoutMs).toBe(5000)
  expect(settings.trustedProxies).toEqual(['10.0.0.0/8', '::1'])
})

test('a line break behind a secret is no part of it, and an empty secret is none', () => {
  const env = { BANYAN_ADMIN_TOKEN: 'a-token-of-a-file\n', BANYAN_FORCE_SECRET: '\ta secret of some length\r\n' }
  expect(readSettings([], env)).toMatchObject({
    adminToken: 'a-token-of-a-file',
    forceSecret: 'a secret of some length',
  })
  for (const name of ['ADMIN_TOKEN', 'ADMIN_TOKENS', 'ADMIN_TOKEN_FILE', 'FORCE_SECRET']) {
    for (const text of ['', ' \n']) {
      expect(() => readSettings([], { [`BANYAN_${name}`]: text })).toThrow(`BANYAN_${name}: must not be empty`)
    }
  }
})

test.each([
  [['--listen', 'nowhere'], {}, "--listen: invalid address 'nowhere': expected HOST:PORT"],
  [['--listen', '127.0.0.1:70000'], {}, '--listen: '],
  [['--listen', 'systemd'], {}, '--listen systemd: expected one socket, received none'],
  [['--listen', 'systemd'], { LISTEN_FDS: '2' }, '--listen systemd: expected one socket, received 2'],
  [['--memory-cache', '64'], {}, "--memory-cache: invalid size '64' (such as 512KiB, 64MiB)"],
  [['--drain-delay', 'soon'], {}, "--drain-delay: invalid duration 'soon' (such as 250ms, 30s)"],
  [['--client-scheme', 'tls'], {}, "--client-scheme: invalid value 'tls': must be http or https"],
  [['--workers', '-1'], {}, '--workers'],
  [['--workers', 'all'], {}, '--workers'],
  [['--max-header-fields', '0'], {}, '--max-header-fields'],
  [['--log-level', 'loud'], {}, "--log-level: invalid level 'loud': must be one of debug, info, warn, error"],
  [['--table'], {}, '--table'],
  [['--tabel', 'x'], {}, 'unknown flag --tabel (did you mean `--table`?)'],
  [
    ['--listen', '9080'],
    {},
    "--listen: invalid address '9080': expected HOST:PORT (such as 127.0.0.1:9080, 0.0.0.0:9080;",
  ],
  [['--memory-cache', '64mb'], {}, "--memory-cache: invalid size '64mb' (write 64MiB)"],
  [['--drain-timeout', '5 sec'], {}, "--drain-timeout: invalid duration '5 sec' (write 5s)"],
  [['--drain-timeout', '5'], {}, "--drain-timeout: invalid duration '5' (write 5s or 5ms)"],
  [['stray'], {}, 'stray'],
  [['--tls', '127.0.0.1:0'], {}, '--tls: needs --tls-cert or --acme'],
  [['--tls-key', 'a.key'], {}, '--tls-key: needs --tls-cert'],
  [
    ['--tls', '127.0.0.1:0', '--tls-cert', 'a.pem', '--tls-client-verify', 'required'],
    {},
    '--tls-client-verify: needs --tls-client-ca',
  ],
  [['--admin-tls-cert', 'a.pem'], {}, '--admin-tls-cert: needs --admin-tls-key'],
  [[], { BANYAN_ADMIN_TLS_KEY: 'a.key' }, 'BANYAN_ADMIN_TLS_KEY: needs --admin-tls-cert'],
  [[], { BANYAN_KEEP_ALIVE: 'x' }, "BANYAN_KEEP_ALIVE: invalid duration 'x'"],
])('%j with %j is refused, and the message names what is wrong', (args, env, message) => {
  expect(() => readSettings(args, env as Record<string, string>)).toThrow(SettingsError)
  expect(() => readSettings(args, env as Record<string, string>)).toThrow(message)
})

test.each([
  ...['acme x.test', 'tls-cert a.pem', 'tls-client-ca a.pem', 'tls-min-version 1.3', 'redirect-https'].map((one) => [
    one,
    'tls',
  ]),
  ...['tls-handshake-timeout 5s', 'tls-ciphers ECDHE-RSA-AES128-GCM-SHA256'].map((one) => [one, 'tls']),
  ...['acme-email a@example.com', 'acme-directory https://a.test/', 'acme-challenge http-01'].map((one) => [
    one,
    'acme',
  ]),
  ...['acme-state x', 'acme-eab-kid x', 'acme-eab-key x'].map((one) => [one, 'acme']),
  ...['tls-client-field X-Subject', 'tls-client-verify optional'].map((one) => [one, 'tls-client-ca']),
  ...['cluster-redis redis://a', 'cluster-secret a-secret-of-16-or-more', 'cluster-replicas 1'].map((one) => [
    one,
    'cluster',
  ]),
  ...['redis-prefix x', 'redis-deadline 1s'].map((one) => [one, 'redis']),
  ...[
    ['tls-key a.key', 'tls-cert'],
    ['take-percent', 'follow-table'],
    ['force-by-link', 'force-secret'],
  ],
  ...[
    ['expose-cache-key', 'expose-cache-status'],
    ['webhook-secret 0123456789abcdef', 'webhook'],
  ],
  ...[
    ['otlp-sample 5', 'otlp'],
    ['listen-mode 0600', 'listen unix:PATH'],
    ['follow-table', 'cluster'],
  ],
])('--%s alone is refused, as a flag and as a variable: it needs --%s', (flag, needs) => {
  const [name = '', value] = flag!.split(' ')
  const args = value === undefined ? [`--${name}`] : [`--${name}`, value]
  expect(() => readSettings(args, {})).toThrow(`--${name}: needs --${needs}`)
  if (name === 'follow-table') return
  const variable = `BANYAN_${name.toUpperCase().replaceAll('-', '_')}`
  expect(() => readSettings([], { [variable]: value ?? 'true' })).toThrow(`${variable}: needs --${needs}`)
})

test.each([
  ['127.0.0.1:8443', '127.0.0.1:8443', '127.0.0.1:1', '--listen 127.0.0.1:8443 and --tls 127.0.0.1:8443'],
  ['0.0.0.0:8443', '127.0.0.1:8443', '127.0.0.1:1', '--listen 0.0.0.0:8443 and --tls 127.0.0.1:8443'],
  ['localhost:8443', '[::]:8443', '127.0.0.1:1', '--listen localhost:8443 and --tls [::]:8443'],
  ['[::1]:8443', '[0::1]:8443', '127.0.0.1:1', '--listen [::1]:8443 and --tls [0::1]:8443'],
  ['unix:/a', 'unix:/a', '127.0.0.1:1', '--listen unix:/a and --tls unix:/a'],
  ['127.0.0.1:1', '127.0.0.1:8443', ':8443', '--tls 127.0.0.1:8443 and --admin 0.0.0.0:8443'],
  ['Localhost:1', '127.0.0.1:8443', 'localhost:1', '--listen Localhost:1 and --admin localhost:1'],
])('--listen %s, --tls %s and --admin %s: both that share an address are named', (listen, tls, admin, message) => {
  const args = ['--listen', listen, '--tls', tls, '--tls-cert', 'a.pem', '--admin', admin]
  expect(() => readSettings(args, {})).toThrow(new SettingsError(`${message}: each needs an address of its own`))
})

test.each([
  ['127.0.0.1:0', '127.0.0.1:0', '127.0.0.1:0'],
  ['127.0.0.1:8443', '127.0.0.2:8443', '[::1]:8443'],
  ['0.0.0.0:8443', '[::1]:8443', '127.0.0.1:1'],
  ['unix:/a', 'unix:/b', '127.0.0.1:1'],
])('--listen %s, --tls %s and --admin %s go together', (listen, tls, admin) => {
  const args = ['--listen', listen, '--tls', tls, '--tls-cert', 'a.pem', '--admin', admin]
  expect(readSettings(args, {}).tls).not.toBeNull()
})

test('systemd may pass the sockets of --listen and --tls', () => {
  const args = ['--listen', 'systemd', '--tls', 'systemd', '--tls-cert', 'a.pem']
  expect(readSettings(args, { LISTEN_FDS: '2' })).toMatchObject({ listen: { fd: 3 }, tls: { fd: 4 } })
})

test('what says the default is not refused', () => {
  const env = {
    BANYAN_TLS_MIN_VERSION: '1.2',
    BANYAN_CLUSTER_REPLICAS: '0',
    BANYAN_REDIRECT_HTTPS: 'no',
    BANYAN_ACME_EMAIL: '',
  }
  expect(readSettings([], env)).toMatchObject({ tls: null, cluster: null })
})

test('the help lists each flag with its variable', () => {
  const help = settingsHelp()
  for (const flag of ['--table FILE', '--listen HOST:PORT', '--trusted-proxies LIST', '--drain-timeout TIME']) {
    expect(help).toContain(flag)
  }
  expect(help).toContain('BANYAN_DRAIN_TIMEOUT')
})
