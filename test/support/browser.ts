/**
 * Chromium of Debian, for tests.
 */
import { type Browser, chromium } from 'playwright-core'
import { findProgram } from '../../scripts/need-tools.ts'

const FLAGS = [
  ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'],
  ...['--disable-component-update', '--disable-sync'],
]

export async function launchBrowser(): Promise<Browser> {
  const executablePath = findProgram('chromium')
  if (executablePath === null) throw new Error('chromium is missing: apt-get install chromium')
  return await chromium.launch({ executablePath, args: FLAGS })
}
