//! Arguments that several commands have.

use crate::completion;
use clap::Args;

/// A share's name; as clients spell it, with a slash before it, is fine too.
pub(crate) fn share_name(text: &str) -> Result<String, String> {
    let name = text.strip_prefix('/').unwrap_or(text);
    if name.is_empty() {
        Err("a share's name is wanted, for instance projects".to_owned())
    } else {
        Ok(name.to_owned())
    }
}

/// A share.
#[derive(Args)]
pub(crate) struct ShareArg {
    /// The share.
    #[arg(value_parser = share_name, add = completion::shares())]
    pub share: String,
}

/// A user.
#[derive(Args)]
pub(crate) struct UserArg {
    /// Name of the user.
    #[arg(value_name = "USER", add = completion::users())]
    pub name: String,
}

/// A group.
#[derive(Args)]
pub(crate) struct GroupArg {
    /// Name of the group.
    #[arg(value_name = "GROUP", add = completion::groups())]
    pub name: String,
}

/// A user and a group.
#[derive(Args)]
pub(crate) struct MemberArgs {
    /// Name of the group.
    #[arg(value_name = "GROUP", add = completion::groups())]
    pub group: String,
    /// Names of the users.
    #[arg(value_name = "USER", required = true, add = completion::users())]
    pub users: Vec<String>,
}

/// Defines the name of something new: as an argument, or after an option as scripts of other gateways have it.
macro_rules! new_name {
    ($type:ident, $flag:literal, $what:literal, $parser:expr) => {
        #[doc = concat!("The name of a new ", $what, ".")]
        #[derive(clap::Args)]
        #[group(required = true, multiple = false)]
        pub(crate) struct $type {
            #[arg(value_name = "NAME", value_parser = $parser, help = concat!("Name of the new ", $what, "."))]
            name: Option<String>,
            #[arg(long = $flag, id = "name_flag", value_name = "NAME", value_parser = $parser,
                help = concat!("The same as NAME, the name of the new ", $what, "."))]
            flag: Option<String>,
        }

        impl $type {
            /// The name.
            pub fn take(self) -> String {
                self.name.or(self.flag).unwrap_or_default()
            }
        }
    };
}

fn any(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("a name is wanted".to_owned()) } else { Ok(text.to_owned()) }
}

new_name!(NewUser, "username", "user", any);
new_name!(NewGroup, "name", "group", any);
new_name!(NewShare, "name", "share", share_name);
new_name!(NewStore, "name", "store", any);
new_name!(NewNetgroup, "name", "netgroup", any);
