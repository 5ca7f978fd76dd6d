"""The pages of the tab 「メールマガジン」, one module a noun; all in the all-campaign mode only."""
