//! Trust: the pure score, and everything around it on real databases (SQLite in a temporary file, and
//! PostgreSQL when `AIM_TEST_POSTGRES_URL` names a server on which databases may be created).

#[cfg(test)]
mod bed;
#[cfg(test)]
mod decisions;
#[cfg(test)]
mod document;
#[cfg(test)]
mod elsewhere;
#[cfg(test)]
mod following;
#[cfg(test)]
mod policies;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod retention;
#[cfg(test)]
mod scores;
#[cfg(test)]
mod trends;
