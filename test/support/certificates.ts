/**
 * Certificates for tests, made on the spot: each signed by its own key, so that it is its own authority.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A certificate and its key, in PEM. */
export interface Made {
  readonly cert: string
  readonly key: string
}

/** @param altNames as openssl takes them: `DNS:up.test,IP:127.0.0.1`; null for a certificate without any */
export function selfSigned(commonName: string, altNames: string | null): Made {
  const folder = mkdtempSync(join(tmpdir(), 'banyan-cert-'))
  const [cert, key] = [join(folder, 'cert'), join(folder, 'key')]
  const names = altNames === null ? [] : ['-addext', `subjectAltName=${altNames}`]
  const made = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2']
  execFileSync('openssl', ['req', ...made, '-keyout', key, '-out', cert, '-subj', `/CN=${commonName}`, ...names], {
    stdio: 'ignore',
  })
  const read = { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') }
  rmSync(folder, { recursive: true })
  return read
}

/** For a name, with a life of the test's choice: as one that is due for renewal, or over. */
export function agedPair(name: string, fromMs: number, untilMs: number): Made {
  const folder = mkdtempSync(join(tmpdir(), 'banyan-cert-'))
  const file = (one: string): string => join(folder, one)
  const dateOf = (ms: number): string => `${new Date(ms).toISOString().replaceAll(/[-:T]|\.\d+Z/g, '')}Z`
  const config = `[ca]\ndefault_ca=own\n[own]\ndatabase=${file('index')}\nserial=${file('serial')}\nnew_certs_dir=${folder}\n`
  writeFileSync(
    file('config'),
    `${config}policy=any\ndefault_md=sha256\n[any]\ncommonName=supplied\n[v3]\nsubjectAltName=DNS:${name}\n`,
  )
  writeFileSync(file('index'), '')
  writeFileSync(file('serial'), '01\n')
  const openssl = (...args: string[]): void => void execFileSync('openssl', args, { stdio: 'ignore' })
  const made = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', file('key')]
  openssl('req', '-new', ...made, '-out', file('csr'), '-subj', `/CN=${name}`)
  const life = ['-startdate', dateOf(fromMs), '-enddate', dateOf(untilMs)]
  const signed = ['-selfsign', '-keyfile', file('key'), '-in', file('csr'), '-out', file('cert'), ...life]
  openssl('ca', '-batch', '-config', file('config'), '-extensions', 'v3', '-notext', ...signed)
  const read = { cert: readFileSync(file('cert'), 'utf8'), key: readFileSync(file('key'), 'utf8') }
  rmSync(folder, { recursive: true })
  return read
}
